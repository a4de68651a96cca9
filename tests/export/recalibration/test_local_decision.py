"""Decisions on local images, and their cross-fitting over patients."""

import numpy as np
import pytest
from scipy.special import expit

from export.recalibration import local_decision
from export.recalibration.labelled_images import Scores
from export.recalibration.local_decision import DecisionRequest, cross_fit, decide_here, figures_of
from pipeline.config.guarantee import candidates
from pipeline.evaluation.predictions import Predictions
from pneumo_tfds.program.errors import InputError

REQUEST = DecisionRequest("youden", candidates("auto"), "auto", 0.5)


def cohort(patients=80, signal=4.0, seed=0):
    """Three images of each patient: logits that lie apart by class, distances around 600, as of X-rays."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), 3)
    labels = patient % 2
    logits = signal * (labels - 0.5) + np.repeat(random.normal(0, 1, patients), 3) + random.normal(0, 0.3, len(labels))
    names = np.array([f"{number}.png" for number in range(len(labels))])
    kinds = np.where(labels, "unknown", "normal")
    table = Predictions(names, patient.astype(str), kinds, labels, expit(logits))
    return table, Scores(logits, random.gamma(36, 600 / 36, len(labels)))


def test_calibration_undoes_a_scale_and_an_offset():
    table, scores = cohort(patients=1000)
    plain = decide_here(table, scores, REQUEST)
    moved = decide_here(table, Scores(3 * scores.logits + 5, scores.distances), REQUEST)
    assert moved.temperature == pytest.approx(3 * plain.temperature, rel=1e-3)
    assert moved.bias == pytest.approx(plain.bias - 5 / (3 * plain.temperature), abs=0.01)
    assert moved.point.threshold == pytest.approx(plain.point.threshold, abs=0.01)


def test_familiarity_is_ranked_among_the_local_images():
    table, scores = cohort()
    decision = decide_here(table, scores, REQUEST)
    familiarity = decision.apply(table, scores).familiarity
    assert np.mean(familiarity < decision.doubt.familiarity_threshold) <= 0.02
    assert familiarity.mean() == pytest.approx(0.5, abs=0.01)
    assert decide_here(table, Scores(scores.logits, None), REQUEST).doubt.familiarity_threshold is None


def test_no_patient_is_answered_by_a_decision_on_images_of_the_same(monkeypatch):
    table, scores = cohort()
    decided_on = []

    def spy(part, *rest):
        decided_on.append(set(part.patients.tolist()))
        return decide_here(part, *rest)

    chosen = decide_here(table, scores, REQUEST)
    monkeypatch.setattr(local_decision, "decide_here", spy)
    answered, _ = cross_fit(table, scores, REQUEST, chosen, seed=0)
    everybody = set(table.patients.tolist())
    left_out = [everybody - seen for seen in decided_on]
    assert len(left_out) == 5
    assert set.union(*left_out) == everybody
    assert sum(map(len, left_out)) == len(everybody), "each patient in one fifth, with all images"
    assert answered.table.filenames.tolist() == table.filenames.tolist()


def test_figures_by_cross_fitting_are_not_better_than_the_truth():
    """Scores that tell nothing: deciding and scoring on the same images would look better than chance."""
    accuracies = []
    for seed in range(6):
        table, scores = cohort(patients=60, signal=0, seed=seed)
        chosen = decide_here(table, scores, REQUEST)
        answered, _ = cross_fit(table, scores, REQUEST, chosen, seed)
        found = figures_of(answered, 100, 0)
        accuracies.append((found["sensitivity"][0] + found["specificity"][0]) / 2)
    assert np.mean(accuracies) < 0.53


def test_a_rule_that_four_fifths_do_not_meet_is_refused_and_says_so():
    """One NORMAL patient lies below all others; without it, no threshold that finds every PNEUMONIA is of use."""
    table, scores = cohort()
    logits = scores.logits.copy()
    logits[table.patients == "0"], logits[table.patients == "1"] = -100, -50
    request = DecisionRequest("sensitivity>=1", candidates("auto"), "auto", 0.5)
    chosen = decide_here(table, Scores(logits, scores.distances), request)
    with pytest.raises(InputError, match=r"^decided on four fifths of the patients.* ask for less$"):
        cross_fit(table, Scores(logits, scores.distances), request, chosen, seed=1)  # both patients in different fifths


def test_certain_answers_of_one_class_have_their_predictive_value():
    table, _ = cohort()
    given = np.where(table.labels == 1, "PNEUMONIA", "UNCERTAIN")
    found = figures_of(local_decision.Answered(table, table.labels == 1, given), 100, 0)
    assert found["certain_ppv"][0] == found["certain_accuracy"][0] == 1.0
    assert found["certain_ppv"][1] == pytest.approx([0.025 ** (1 / 40), 1.0])
    assert found["certain_npv"] == (None, None)


def test_answers_of_all_four_kinds_are_counted():
    table, scores = cohort()
    answered, same = cross_fit(table, scores, REQUEST, decide_here(table, scores, REQUEST), seed=0)
    assert {*answered.given.tolist()} <= {"NORMAL", "PNEUMONIA", "UNCERTAIN", "UNSUITABLE"}
    assert "UNSUITABLE" in answered.given
    assert 0 <= same <= 5
    found = figures_of(answered, 100, 0)
    assert found["unsuitable"][0] == np.mean(answered.given == "UNSUITABLE")
    low, high = found["sensitivity"][1]
    assert low < found["sensitivity"][0] < high
