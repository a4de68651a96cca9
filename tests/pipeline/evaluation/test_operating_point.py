"""The rules that choose a threshold."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from pipeline.config.threshold_rule import Rule
from pipeline.evaluation.metrics import figures
from pipeline.evaluation.operating_point import OperatingPoint, choose_operating_point
from pneumo_tfds.program.errors import InputError

LABELS = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.25, 0.45, 0.7, 0.8, 0.9])


def every_threshold(labels, scores):
    """All distinct decisions, by hand: sensitivity and specificity at each score."""
    for cut in np.unique(scores):
        called = scores >= cut
        yield called[labels == 1].mean(), (~called[labels == 0]).mean()


def test_youden_takes_the_largest_sum():
    point = choose_operating_point(LABELS, SCORES, "youden", "validation")
    # 0.45 to 0.6: sensitivity 4/5, specificity 4/5; at 0.7 they are 3/5 and 1. Ties go to the sensitivity.
    assert (point.sensitivity, point.specificity) == (0.8, 0.8)
    assert 0.4 < point.threshold <= 0.45
    assert (point.rule, point.chosen_on) == ("youden", "validation")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rule", ["youden", "sensitivity>=0.9", "specificity>=0.8", "sensitivity>=0.955"])
def test_the_choice_is_the_best_of_all_thresholds(rule, seed):
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [40, 70])
    scores = np.round(1 / (1 + np.exp(-generator.normal(labels * 2.0, 1.0))), 2)  # rounded, so that there are ties
    point = choose_operating_point(labels, scores, rule, "validation")
    found = figures(labels, scores, point.threshold)
    assert (found["sensitivity"], found["specificity"]) == pytest.approx((point.sensitivity, point.specificity))
    candidates = list(every_threshold(labels, scores))
    if rule == "youden":
        assert point.sensitivity + point.specificity == pytest.approx(max(a + b for a, b in candidates))
    elif rule.startswith("sensitivity"):
        least = float(rule.partition(">=")[2])
        assert point.sensitivity >= least
        assert point.specificity == pytest.approx(max(b for a, b in candidates if a >= least))
    else:
        assert point.specificity >= 0.8 - 1e-12
        assert point.sensitivity == pytest.approx(max(a for a, b in candidates if b >= 0.8 - 1e-12))


def test_the_threshold_is_a_short_number_between_two_scores_not_on_one():
    point = choose_operating_point(
        np.array([0, 0, 1, 1]), np.array([0.1, 0.41234567, 0.43456789, 0.9]), "youden", "validation"
    )
    assert point.threshold == 0.423
    assert choose_operating_point(
        np.array([0, 1]), np.array([0.4230001, 0.4230002]), "youden", "v"
    ).threshold == pytest.approx(0.42300015)


def test_the_threshold_may_be_the_upper_score_but_not_the_lower():
    """At or above it is PNEUMONIA: 0.423 calls 0.423; a threshold of 0.422 would call 0.422 too."""

    def threshold(low, high):
        return choose_operating_point(np.array([0, 1]), np.array([low, high]), "youden", "v").threshold

    assert threshold(0.4224, 0.423) == 0.423
    assert threshold(0.422, 0.4224) == 0.4222
    for low in (0.3, 0.4230001, 1e-9):
        high = np.nextafter(low, 1)
        assert threshold(low, high) == high  # no decimal of 16 digits lies between


def test_the_lowest_score_is_called_by_a_threshold_between_it_and_0():
    assert choose_operating_point(np.array([0, 1, 1]), np.full(3, 0.6), "youden", "v").threshold == 0.3


def test_between_equals_the_higher_sensitivity_wins():
    """Scores P N P N from the top: after the first and after the third, Youden's index is 0.5."""
    labels, scores = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.6])
    point = choose_operating_point(labels, scores, "youden", "v")
    assert (point.sensitivity, point.specificity) == (1.0, 0.5)
    # P N P P N N: after the third and after the fourth, specificity is 2/3.
    labels, scores = np.array([1, 0, 1, 1, 0, 0]), np.array([0.9, 0.85, 0.8, 0.7, 0.6, 0.5])
    point = choose_operating_point(labels, scores, "sensitivity>=0.6", "v")
    assert (point.sensitivity, point.specificity) == pytest.approx((1.0, 2 / 3))
    # Of thresholds with one sensitivity the one with the fewest false alarms.
    point = choose_operating_point(np.array([1, 0, 0, 0]), np.array([0.9, 0.8, 0.7, 0.6]), "specificity>=0.3", "v")
    assert (point.sensitivity, point.specificity, point.threshold) == (1.0, 1.0, 0.85)


def test_a_figure_that_reaches_the_rule_but_for_rounding_counts():
    """One of ten NORMAL images is below the last pneumonia: specificity 0.1, which floats call 0.09999999999999998."""
    labels = np.array([1] * 3 + [0] * 8 + [1, 0] + [1] + [0])
    scores = np.linspace(0.95, 0.2, len(labels))
    point = choose_operating_point(labels, scores, "specificity>=0.1", "v")
    assert (point.sensitivity, point.specificity) == pytest.approx((1.0, 0.1))


def test_the_record_is_what_metrics_json_holds():
    point = choose_operating_point(LABELS, SCORES, " Specificity >= .8", "validation")
    assert asdict(point) == {
        "threshold": point.threshold,
        "rule": "specificity>=0.8",
        "chosen_on": "validation",
        "sensitivity": 0.8,
        "specificity": 0.8,
    }
    assert OperatingPoint(**asdict(point)) == point


@pytest.mark.parametrize("text", ["youden", "sensitivity>=0.95", "specificity>=0.9", "specificity>=1"])
def test_a_rule_reads_back_as_written(text):
    assert str(Rule.parse(f" {text.upper()} ")) == text
    assert Rule.parse(str(Rule.parse(text))) == Rule.parse(text)


def test_a_rule_is_read_into_its_parts():
    assert Rule.parse("Sensitivity >= .95") == Rule("sensitivity", 0.95)
    assert Rule.parse("specificity>=0.9") == Rule("specificity", 0.9)
    assert Rule.parse("Youden") == Rule("youden", 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracy>=0.9", "'accuracy>=0.9' is not one of youden"),
        ("sensitivity>0.9", "is not one of"),
        ("sensitivity>=0.9.5", "is not one of"),
        ("not sensitivity>=0.9", "is not one of"),
        ("", "'' is not one of youden, sensitivity>=0.95 or specificity>=0.90"),
        ("sensitivity>=1.5", "'sensitivity>=1.5' asks for 1.5, but it must be over 0 and at most 1"),
        ("specificity>=0", "'specificity>=0' asks for 0, but it must be over 0 and at most 1"),
    ],
)
def test_an_invalid_rule_is_one_clear_error(text, message):
    with pytest.raises(InputError) as refused:
        Rule.parse(text)
    assert str(refused.value).startswith("the threshold rule ")
    assert message in str(refused.value)


def test_a_rule_that_only_a_useless_threshold_reaches_names_the_best():
    """Calling everything PNEUMONIA always has sensitivity 1; that is not a threshold to hand to anyone."""
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    scores = np.array([0.05, 0.2, 0.3, 0.4, 0.01, 0.7, 0.8, 0.9])
    with pytest.raises(InputError) as refused:
        choose_operating_point(labels, scores, "sensitivity>=0.95", "validation")
    assert str(refused.value) == (
        "the threshold rule sensitivity>=0.95 cannot be met usefully on validation: the best is 0.7500; ask for less"
    )
    with pytest.raises(InputError, match="on validation: no threshold on it is better than chance; ask for less"):
        choose_operating_point(labels, np.full(8, 0.5), "specificity>=0.9", "validation")
    backwards = 1 - scores
    with pytest.raises(InputError, match=r"the best is 0\.2500"):  # what is worse than chance is not named as the best
        choose_operating_point(labels, backwards, "sensitivity>=0.95", "validation")


def test_youden_on_a_model_that_knows_nothing_still_returns_a_point():
    point = choose_operating_point(np.array([0, 1, 1]), np.full(3, 0.6), "youden", "validation")
    assert (point.sensitivity, point.specificity) == (1.0, 0.0)


def test_one_class_has_no_operating_point():
    with pytest.raises(InputError, match="validation: there are images of one class only"):
        choose_operating_point(np.ones(5, int), SCORES[:5], "youden", "validation")
