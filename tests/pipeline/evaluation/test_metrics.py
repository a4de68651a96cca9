"""Figures against values worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.evaluation.metrics import by_subtype, decisions, figures, most_confident_errors, predictive_values
from pneumo_tfds.program.errors import InputError

# Five NORMAL, five PNEUMONIA. At 0.5: NORMAL 0.6 is a false alarm, PNEUMONIA 0.2 and 0.4 are missed.
LABELS = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.2, 0.4, 0.7, 0.8, 0.9])


def test_figures_are_what_one_works_out_by_hand():
    found = figures(LABELS, SCORES, 0.5)
    assert found["confusion_matrix"] == {"tn": 4, "fp": 1, "fn": 2, "tp": 3}
    expected = {
        "n": 10,
        "prevalence": 0.5,
        "accuracy": 7 / 10,
        "sensitivity": 3 / 5,
        "specificity": 4 / 5,
        "balanced_accuracy": (3 / 5 + 4 / 5) / 2,
        "precision": 3 / 4,
        "npv": 4 / 6,
        "f1": 2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5),
        # Pairs that PNEUMONIA wins, ties half: 0.2 beats 1 and ties 1; 0.4 beats 3 and ties 1; the rest beat all 5.
        "auroc": (1.5 + 3.5 + 5 + 5 + 5) / 25,
        # At recalls 1/5, 2/5, 3/5 precision 1; at 4/5 (score 0.4) 4 of 6; at 1 (score 0.2) 5 of 9.
        "average_precision": (1 + 1 + 1 + 4 / 6 + 5 / 9) / 5,
        "brier": (0.01 + 0.04 + 0.09 + 0.16 + 0.36 + 0.64 + 0.36 + 0.09 + 0.04 + 0.01) / 10,
        # Ten images make one bin: mean probability 0.46, half of them PNEUMONIA.
        "ece": abs(0.5 - 0.46),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_pneumonia_is_positive_always():
    """A model that finds every pneumonia and calls two of three NORMAL images PNEUMONIA, so the classes differ."""
    found = figures(np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.8, 0.9, 0.7, 0.95]), 0.5)
    assert found["confusion_matrix"] == {"tn": 1, "fp": 2, "fn": 0, "tp": 2}
    assert found["sensitivity"] == 1.0
    assert found["specificity"] == pytest.approx(1 / 3)
    assert found["precision"] == pytest.approx(2 / 4)
    assert found["prevalence"] == pytest.approx(2 / 5)


def test_a_probability_at_the_threshold_is_called_pneumonia():
    assert decisions(np.array([0.4999, 0.5, 0.5001]), 0.5).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("label", "undefined"),
    [
        (0, {"auroc", "average_precision", "sensitivity", "balanced_accuracy", "f1"}),
        (1, {"auroc", "specificity", "balanced_accuracy"}),
    ],
)
def test_one_class_leaves_undefined_figures_none_and_json_valid(label, undefined):
    found = figures(np.full(4, label), np.array([0.1, 0.4, 0.6, 0.9]), 0.5)
    assert {name for name, value in found.items() if value is None} == undefined
    json.dumps(found, allow_nan=False)


def test_nothing_called_pneumonia_has_no_precision():
    found = figures(LABELS, SCORES, 0.99)
    assert found["precision"] is None
    assert found["npv"] == 0.5
    assert found["f1"] == 0.0


def test_each_kind_of_pneumonia_has_its_own_sensitivity():
    kinds = np.array(["normal"] * 5 + ["virus", "virus", "bacteria", "bacteria", "bacteria"])
    assert by_subtype(LABELS, SCORES, kinds, 0.5) == {
        "bacteria": {"n": 3, "sensitivity": 1.0},
        "virus": {"n": 2, "sensitivity": 0.0},
    }


def test_predictive_values_follow_bayes():
    """Of 1,000 images at 10 %: 90 of 100 found, 180 of 900 false alarms."""
    precision, npv = predictive_values(np.array(0.9), np.array(0.8), 0.10)
    assert float(precision) == pytest.approx(90 / 270)
    assert float(npv) == pytest.approx(720 / 730)


@pytest.mark.filterwarnings("error")
def test_predictive_values_are_nan_where_nothing_is_so_called():
    """Four models: one that calls nothing PNEUMONIA, one that calls everything, a perfect and a useless one."""
    sensitivity, specificity = np.array([0.0, 1.0, 1.0, 0.5]), np.array([1.0, 0.0, 1.0, 0.5])
    precision, npv = predictive_values(sensitivity, specificity, 0.2)
    np.testing.assert_allclose(precision, [np.nan, 0.2, 1.0, 0.2])
    np.testing.assert_allclose(npv, [0.8, np.nan, 1.0, 0.8])


@pytest.mark.parametrize(
    ("labels", "probabilities"), [(LABELS, SCORES[:-1]), ([], []), (LABELS[:, None], SCORES[:, None])]
)
def test_columns_of_other_shapes_than_one_are_refused(labels, probabilities):
    with pytest.raises(InputError) as refused:
        figures(labels, probabilities, 0.5)
    shapes = f"{np.shape(labels)} and {np.shape(probabilities)}"
    assert str(refused.value) == f"figures need labels and probabilities [n], not {shapes}"


def test_plain_lists_will_do():
    assert figures(LABELS.tolist(), SCORES.tolist(), 0.5) == figures(LABELS, SCORES, 0.5)


# Four missed pneumonias (0, 2, 4, 6; most confident: 4), three false alarms (1, 3, 5; most confident: 3), one right.
ERRORS = np.array([1, 0, 1, 0, 1, 0, 1, 0]), np.array([0.3, 0.6, 0.2, 0.9, 0.1, 0.7, 0.4, 0.1])


@pytest.mark.parametrize(
    ("most", "shown"),
    [
        (9, [4, 2, 0, 6, 3, 5, 1]),
        (6, [4, 2, 0, 3, 5, 1]),
        (5, [4, 2, 0, 3, 5]),
        (4, [4, 2, 3, 5]),
        (3, [4, 2, 3]),
        (1, [4]),
        (0, []),
    ],
)
def test_the_most_confident_errors_share_the_places(most, shown):
    found = most_confident_errors(*ERRORS, 0.5, most)
    assert (found.tolist(), found.dtype) == (shown, np.int64)


def test_a_kind_of_error_leaves_the_places_it_does_not_need_to_the_other():
    labels, probabilities = ERRORS
    one_alarm = np.where(labels == 1, probabilities, [0, 0.6, 0, 0.2, 0, 0.2, 0, 0.1])
    assert most_confident_errors(labels, one_alarm, 0.5, 4).tolist() == [4, 2, 0, 1]
    one_missed = np.where(labels == 0, probabilities, [0.8, 0, 0.2, 0, 0.9, 0, 0.9, 0])
    assert most_confident_errors(labels, one_missed, 0.5, 4).tolist() == [2, 3, 5, 1]
    assert most_confident_errors(labels, labels * 0.8 + 0.1, 0.5, 4).tolist() == []


def test_a_pneumonia_at_the_threshold_is_no_error_and_a_normal_image_there_is():
    assert most_confident_errors(np.array([1, 0]), np.array([0.5, 0.5]), 0.5, 4).tolist() == [1]


def test_equal_errors_stay_in_the_order_of_the_table():
    labels = np.array([1, 1, 1, 0, 0, 0] * 100)
    probabilities = np.where(labels == 1, 0.2, 0.8)
    probabilities[::100] = np.where(labels[::100] == 1, 0.1, 0.9)  # more confident than the others
    order = sorted(range(600), key=lambda i: (labels[i] == 0, i % 100 != 0, i))
    assert most_confident_errors(labels, probabilities, 0.5, 600).tolist() == order
