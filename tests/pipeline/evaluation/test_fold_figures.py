"""Figures of folds: their mean and spread, and the pooled ones at each fold's own threshold."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.fold_figures import fold_figures
from pipeline.evaluation.predictions import Predictions, joined
from pipeline.evaluation.scoring import score_split


def fold(number, count):
    generator = np.random.default_rng(number)
    labels = np.arange(count) % 2
    probabilities = 1 / (1 + np.exp(-generator.normal(2 * labels - 1 + number, 1)))  # each fold is off by another bias
    names = np.array([f"{number}-{row}" for row in range(count)])
    return Predictions(names, np.array([f"{number}p{row // 2}" for row in range(count)]), names, labels, probabilities)


@pytest.fixture
def folds():
    return {f"fold-{number}": fold(number, 40 + 10 * number) for number in range(3)}


THRESHOLDS = [0.5, 0.7, 0.9]


def figures_of(folds):
    figures = [score_split(table, cut, 0, 100) for table, cut in zip(folds.values(), THRESHOLDS, strict=True)]
    return figures, fold_figures(folds, THRESHOLDS, figures, 0, 100)


def test_mean_and_deviation_are_those_of_the_folds(folds):
    figures, found = figures_of(folds)
    values = [one["auroc"] for one in figures]
    assert found["mean"]["auroc"] == pytest.approx(np.mean(values))
    assert found["deviation"]["auroc"] == pytest.approx(np.std(values, ddof=1))
    assert [one["sensitivity"] for one in found["folds"]] == [one["sensitivity"] for one in figures]


def test_pooled_images_are_called_by_the_threshold_of_their_own_fold(folds):
    _, found = figures_of(folds)
    called = np.concatenate([t.probabilities >= cut for t, cut in zip(folds.values(), THRESHOLDS, strict=True)])
    labels = joined(folds.values()).labels
    assert found["pooled"]["sensitivity"] == pytest.approx(called[labels == 1].mean())
    assert found["pooled"]["specificity"] == pytest.approx(1 - called[labels == 0].mean())
    low, high = found["pooled"]["intervals"]["sensitivity"]
    assert low < found["pooled"]["sensitivity"] < high


def test_pooled_ranking_and_calibration_are_of_the_probabilities_themselves(folds):
    _, found = figures_of(folds)
    table = joined(folds.values())
    assert found["pooled"]["auroc"] == pytest.approx(roc_auc_score(table.labels, table.probabilities))
    assert found["pooled"]["brier"] == pytest.approx(np.mean((table.probabilities - table.labels) ** 2))


def test_a_figure_that_a_fold_lacks_has_no_mean(folds):
    figures, _ = figures_of(folds)
    figures[1] = figures[1] | {"npv": None}
    found = fold_figures(folds, THRESHOLDS, figures, 0, 100)
    assert found["mean"]["npv"] is None
    assert found["deviation"]["npv"] is None
    assert found["mean"]["auroc"] is not None
