"""Tests of two models on the same images: McNemar, DeLong, paired bootstrap over patients, Holm's correction.

They are written out here, in 5 to 20 lines each: a dependency such as statsmodels would be larger than its use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, norm, rankdata

from pipeline.evaluation.intervals import Interval, fewest_patients, percentile, ranking_figures, weights
from pipeline.evaluation.predictions import POSITIVE, Floats, Labels, Mask, Names


class McNemar(NamedTuple):
    """Images that only one of two models classifies correctly, and the exact two-sided p-value of their imbalance."""

    only_first_right: int
    only_second_right: int
    p_value: float


def mcnemar(labels: Labels, first: Mask, second: Mask) -> McNemar:
    """Compute the exact McNemar test (Psychometrika 1947): a binomial test of the discordant images against one half.

    `first` and `second` are the images, bool [n], that each of the two models calls PNEUMONIA.
    """
    right_first, right_second = first == (labels == POSITIVE), second == (labels == POSITIVE)
    only_first, only_second = int(np.sum(right_first & ~right_second)), int(np.sum(~right_first & right_second))
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_first, only_second, p_value)


class DeLong(NamedTuple):
    """Two correlated AUROCs, their difference (first minus second), its standard error and the two-sided p-value."""

    first: float
    second: float
    difference: float
    standard_error: float
    p_value: float


def delong(labels: Labels, first: Floats, second: Floats) -> DeLong:
    """Compute DeLong's test of two AUROCs on the same images (Biometrics 1988) by the algorithm of Sun and Xu (2014).

    Sun and Xu (IEEE Signal Processing Letters 21, 1389) get DeLong's placements from mid-ranks, in O(n log n), without
    comparing every positive with every negative. The test counts images as independent; the bootstrap of
    `difference_intervals` takes patients into account.

    Labels are [n] with two images or more of each class; `first` and `second` are P(PNEUMONIA) of each model, [n].
    """
    areas, covariance = placements_covariance(labels, np.stack([first, second]))
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = float(np.sqrt(max(variance, 0.0)))
    if error < 1e-12:  # both models rank every pair alike, or differ with certainty
        p_value = 1.0 if abs(difference) < 1e-12 else 0.0
    else:
        p_value = float(2 * norm.sf(abs(difference) / error))
    return DeLong(float(areas[0]), float(areas[1]), difference, error, p_value)


def placements_covariance(labels: Labels, scores: Floats) -> tuple[Floats, Floats]:
    """Return the AUROCs [k] of k score vectors [k, n] and their covariance matrix [k, k], by mid-ranks."""
    positive = labels == POSITIVE
    positives, negatives = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores, axis=1)
    among_positives = rankdata(scores[:, positive], axis=1)
    among_negatives = rankdata(scores[:, ~positive], axis=1)
    above = (ranks[:, positive] - among_positives) / negatives  # fraction of the negatives below each positive
    below = (ranks[:, ~positive] - among_negatives) / positives  # fraction of the positives below each negative
    areas: Floats = above.mean(axis=1)
    covariance: Floats = np.cov(above) / positives + np.cov(below) / negatives
    return areas, covariance


def difference_intervals(
    labels: Labels, patients: Names, scores: tuple[Floats, Floats], called: tuple[Mask, Mask], resamples: int, seed: int
) -> dict[str, Interval]:
    """Return 95 % intervals of the differences (first minus second) of AUROC and accuracy, from resamples of patients.

    None where a difference rests on one patient: that of AUROC on those of each class, that of accuracy on all. Both
    models are scored on the same resamples, so the variation they share cancels out.
    """
    auroc, accuracy = [], []
    gain = (called[0] == (labels == POSITIVE)).astype(np.float64) - (called[1] == (labels == POSITIVE))
    for block in weights(patients, resamples, seed):
        first, second = (ranking_figures(labels, score, block)[0] for score in scores)
        auroc.append(first - second)
        accuracy.append(block @ gain / block.sum(axis=1))
    return {
        "auroc": percentile(np.concatenate(auroc)) if fewest_patients(labels, patients) > 1 else None,
        "accuracy": percentile(np.concatenate(accuracy)) if len(np.unique(patients)) > 1 else None,
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values (Scand. J. Statist. 1979) in the order given: they control family-wise error."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(np.minimum(p[order] * np.arange(len(p), 0, -1), 1.0))
    return [float(value) for value in stepped[np.argsort(order)]]
