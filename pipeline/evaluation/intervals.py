"""95 % confidence intervals by a bootstrap that resamples patients, since images of one patient are alike.

Percentile bootstrap over clusters: Field and Welsh, J. R. Stat. Soc. B 2007. A resample is a vector of how often each
image counts, so one sort of the scores serves all resamples and nothing is computed 2,000 times over.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.calibration import bins
from pipeline.evaluation.metrics import decisions, predictive_values
from pipeline.evaluation.predictions import POSITIVE, Predictions

Floats = npt.NDArray[np.float64]
Interval = list[float] | None

LEVEL = 0.95
BLOCK = 100
"""Resamples held at once, which keeps a block of weights in a processor's cache."""
PROPORTIONS = ("accuracy", "sensitivity", "specificity", "precision", "npv")


def weights(patients: npt.NDArray[np.str_], resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks [b, n] of how often each image counts in each resample; all images of a patient count alike."""
    names, patient = np.unique(patients, return_inverse=True)
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, BLOCK):
        block = min(BLOCK, resamples - start)
        drawn = generator.integers(0, len(names), size=(block, len(names)))
        drawn += np.arange(block)[:, None] * len(names)
        counts = np.bincount(drawn.ravel(), minlength=block * len(names)).reshape(block, len(names))
        yield counts[:, patient].astype(np.float64)


def ranking_figures(labels: npt.NDArray[np.int64], probabilities: Floats, block: Floats) -> tuple[Floats, Floats]:
    """AUROC and average precision of each row of weights [b, n], each [b]; NaN where a class has no weight.

    AUROC is the trapezoid area with ties as half, average precision the sum over scores of (step in recall) x
    precision: scikit-learn's definitions with `sample_weight`.
    """
    order = np.argsort(-probabilities, kind="stable")
    scores = probabilities[order]
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    ordered = block[:, order]
    hits = np.cumsum(ordered * (labels[order] == POSITIVE), axis=1)[:, ends]
    alarms = np.cumsum(ordered, axis=1)[:, ends] - hits
    hits, alarms = np.pad(hits, ((0, 0), (1, 0))), np.pad(alarms, ((0, 0), (1, 0)))
    step, called = np.diff(hits, axis=1), hits[:, 1:] + alarms[:, 1:]
    with np.errstate(invalid="ignore"):
        area = np.sum(np.diff(alarms, axis=1) * (hits[:, 1:] + hits[:, :-1]), axis=1) / 2
        auroc = area / (hits[:, -1] * alarms[:, -1])
        precision = np.divide(hits[:, 1:], called, out=np.zeros_like(called), where=called > 0)
        average = np.sum(step * precision, axis=1) / hits[:, -1]
    return auroc, average


def replicates(table: Predictions, threshold: float, resamples: int, seed: int) -> dict[str, Floats]:
    """Every figure of `pipeline.evaluation.metrics.figures` on each resample: figure to float64 [resamples], NaN where
    undefined.

    `sensitivity:bacteria` and the like stand for each kind of pneumonia.
    """
    positive, called = table.labels == POSITIVE, decisions(table.probabilities, threshold)
    kinds = [str(kind) for kind in np.unique(table.subtypes[positive])]
    error = table.probabilities - table.labels
    place = bins(table.probabilities)
    columns = [positive & called, positive & ~called, ~positive & called, ~positive & ~called, error**2]
    for kind in kinds:
        columns += [positive & (table.subtypes == kind) & called, positive & (table.subtypes == kind)]
    sums = np.column_stack([*columns, error[:, None] * (place[:, None] == np.arange(place.max() + 1))]).astype(
        np.float64
    )
    found: list[dict[str, Floats]] = []
    for block in weights(table.patients, resamples, seed):
        total, added = block.sum(axis=1), block @ sums
        tp, fn, fp, tn, squared = added[:, :5].T
        with np.errstate(invalid="ignore"):
            sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
            figures = {
                "prevalence": (tp + fn) / total,
                "accuracy": (tp + tn) / total,
                "balanced_accuracy": (sensitivity + specificity) / 2,
                "sensitivity": sensitivity,
                "specificity": specificity,
                "precision": tp / (tp + fp),
                "npv": tn / (tn + fn),
                "f1": np.where(tp + fn > 0, 2 * tp / (2 * tp + fp + fn), np.nan),
                "brier": squared / total,
                "ece": np.abs(added[:, len(columns) :]).sum(axis=1) / total,
            }
            for i, kind in enumerate(kinds):
                figures[f"sensitivity:{kind}"] = added[:, 5 + 2 * i] / added[:, 6 + 2 * i]
        figures["auroc"], figures["average_precision"] = ranking_figures(table.labels, table.probabilities, block)
        found.append(figures)
    return {name: np.concatenate([figures[name] for figures in found]) for name in found[0]}


def percentile(values: Floats) -> Interval:
    """[low, high] that hold the middle 95 % of the resamples where the figure is defined; None if it is nowhere."""
    defined = values[~np.isnan(values)]
    if not defined.size:
        return None
    low, high = np.percentile(defined, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return [float(low), float(high)]


def without_errors(proportion: float | None, units: int, interval: Interval) -> Interval:
    """The interval of a proportion that is exactly 0 or 1, where every resample agrees and the bootstrap says nothing.

    It becomes Clopper and Pearson's (Biometrika 1934), with the number of patients as the number of trials: if no error
    was seen in m patients, the proportion may still be as low as 0.025^(1/m).
    """
    if proportion not in (0.0, 1.0) or interval is None or not units:
        return interval
    edge = ((1 - LEVEL) / 2) ** (1 / units)
    return [edge, 1.0] if proportion == 1.0 else [0.0, 1 - edge]


def intervals(
    table: Predictions, threshold: float, point: dict[str, float | None], resamples: int, seed: int
) -> tuple[dict[str, Interval], dict[str, Floats]]:
    """The 95 % interval of every figure, and the resampled values they come from.

    Args:
        table: one split.
        threshold: at or above it an image is called PNEUMONIA.
        point: the figures themselves, to know which proportions are 0 or 1; a figure that is None gets None.
        resamples: how many; 2,000 make the ends steady to about the third digit.
        seed: of the resampling; the same seed gives the same intervals.
    """
    values = replicates(table, threshold, resamples, seed)
    positive, called = table.labels == POSITIVE, decisions(table.probabilities, threshold)
    among = {
        "accuracy": np.full(len(table), True),
        "sensitivity": positive,
        "specificity": ~positive,
        "precision": called,
        "npv": ~called,
    }
    among |= {
        f"sensitivity:{kind}": positive & (table.subtypes == kind) for kind in np.unique(table.subtypes[positive])
    }
    found: dict[str, Interval] = {}
    for name, sample in values.items():
        interval = None if point.get(name) is None else percentile(sample)
        if name in among:
            interval = without_errors(point.get(name), len(np.unique(table.patients[among[name]])), interval)
        found[name] = interval
    return found, values


def predictive_intervals(values: dict[str, Floats], prevalence: float) -> tuple[Interval, Interval]:
    """The intervals of precision and negative predictive value at a prevalence, from resampled values."""
    precision, npv = predictive_values(values["sensitivity"], values["specificity"], prevalence)
    return percentile(precision), percentile(npv)


def roc_band(table: Predictions, grid: Floats, resamples: int, seed: int) -> tuple[Floats, Floats]:
    """The 95 % band of the ROC curve: lowest and highest sensitivity at each false-positive rate of `grid` [g], 0 to 1.

    Pointwise, by vertical averaging over resamples of patients; a resample without both classes is left out.
    """
    order = np.argsort(-table.probabilities, kind="stable")
    scores, positive = table.probabilities[order], table.labels[order] == POSITIVE
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    curves = []
    for block in weights(table.patients, resamples, seed):
        hits = np.cumsum(block[:, order] * positive, axis=1)[:, ends]
        alarms = np.cumsum(block[:, order], axis=1)[:, ends] - hits
        for hit, alarm in zip(hits, alarms, strict=True):
            if hit[-1] and alarm[-1]:
                curves.append(np.interp(grid, np.append(0, alarm / alarm[-1]), np.append(0, hit / hit[-1])))
    low, high = np.percentile(curves, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
    return low, high
