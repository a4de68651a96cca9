"""95 % confidence intervals by a bootstrap that resamples patients, because images of one patient are alike.

Percentile bootstrap over clusters: Field and Welsh, J. R. Stat. Soc. B 2007. A resample is a vector of how often each
image counts, so one sort of the scores serves all resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.stats import norm

from pipeline.evaluation.calibration import assign_bins
from pipeline.evaluation.metrics import decisions, f1_at
from pipeline.evaluation.predictions import CLASSES, POSITIVE, Floats, Labels, Mask, Names, Predictions

Interval = list[float] | None

LEVEL = 0.95
ENDS = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
"""Both ends of an interval, as percentiles of the resamples."""
_OF_EACH_CLASS = ("auroc", "average_precision", "balanced_accuracy", "f1")
"""Figures that rest on the patients of each class."""
BLOCK = 100
"""Resamples computed at once. A block of this many weights stays in a processor's cache."""


def weights(patients: Names, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks [b, n] of how often each image counts in each resample: as often as its patient was drawn."""
    names, patient = np.unique(patients, return_inverse=True)
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, BLOCK):
        block = min(BLOCK, resamples - start)
        drawn = generator.integers(0, len(names), size=(block, len(names)))
        drawn += np.arange(block)[:, None] * len(names)
        counts = np.bincount(drawn.ravel(), minlength=block * len(names)).reshape(block, len(names))
        yield counts[:, patient].astype(np.float64)


def ranking_figures(labels: Labels, probabilities: Floats, block: Floats) -> tuple[Floats, Floats]:
    """Return AUROC and average precision for each row of weights [b, n], each [b]; NaN where a class has no weight.

    AUROC is the trapezoid area with ties as half, average precision the sum over scores of (step in recall) x
    precision: scikit-learn's definitions with `sample_weight`.
    """
    hits, alarms = _hits_and_alarms(labels, probabilities, block)
    hits, alarms = np.pad(hits, ((0, 0), (1, 0))), np.pad(alarms, ((0, 0), (1, 0)))
    step, called = np.diff(hits, axis=1), hits[:, 1:] + alarms[:, 1:]
    with np.errstate(invalid="ignore"):
        area = np.sum(np.diff(alarms, axis=1) * (hits[:, 1:] + hits[:, :-1]), axis=1) / 2
        auroc = area / (hits[:, -1] * alarms[:, -1])
        precision = np.divide(hits[:, 1:], called, out=np.zeros_like(called), where=called > 0)
        average = np.sum(step * precision, axis=1) / hits[:, -1]
    return auroc, average


def replicates(table: Predictions, threshold: float, resamples: int, seed: int) -> dict[str, Floats]:
    """Compute every figure of `pipeline.evaluation.metrics.figures` on each resample.

    Returns:
        Figure to float64 [resamples], NaN where undefined. `sensitivity:bacteria` and the like are the sensitivity for
        each kind of pneumonia. ECE keeps the bins of the whole table.
    """
    positive, called = table.labels == POSITIVE, decisions(table.probabilities, threshold)
    error, bin_of = table.probabilities - table.labels, assign_bins(table.probabilities)
    kinds = _images_by_kind(table)
    # Every figure but those of ranking follows from sums over the images. One matrix product makes all of them.
    columns = {
        "tp": positive & called,
        "fn": positive & ~called,
        "fp": ~positive & called,
        "tn": ~positive & ~called,
        "squared error": error**2,
    }
    for kind, images in kinds.items():
        columns |= {f"found {kind}": images & called, kind: images}
    error_by_bin = error[:, None] * (bin_of[:, None] == np.arange(bin_of.max() + 1))
    matrix = np.column_stack([*columns.values(), error_by_bin]).astype(np.float64)
    found: list[dict[str, Floats]] = []
    for block in weights(table.patients, resamples, seed):
        total, sums = block.sum(axis=1), block @ matrix
        by_name, sum_by_bin = dict(zip(columns, sums.T, strict=False)), sums[:, len(columns) :]
        tp, fn, fp, tn = (by_name[name] for name in ("tp", "fn", "fp", "tn"))
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
                "brier": by_name["squared error"] / total,
                "ece": np.abs(sum_by_bin).sum(axis=1) / total,
                **{kind: by_name[f"found {kind}"] / by_name[kind] for kind in kinds},
            }
        figures["auroc"], figures["average_precision"] = ranking_figures(table.labels, table.probabilities, block)
        found.append(figures)
    return {name: np.concatenate([figures[name] for figures in found]) for name in found[0]}


def percentile(values: Floats) -> Interval:
    """Return [low, high] around the middle 95 % of the resamples that define the figure.

    None if none defines it, and if they all agree: an interval without width would claim certainty, and nobody has it.
    """
    defined = values[~np.isnan(values)]
    if not defined.size:
        return None
    low, high = np.percentile(defined, ENDS)
    return [float(low), float(high)] if low < high else None


def patients_by_class(labels: Labels, patients: Names) -> dict[str, int]:
    """Return how many patients have an image of each class, by its name."""
    return {name: len(np.unique(patients[labels == label])) for label, name in enumerate(CLASSES)}


def fewest_patients(labels: Labels, patients: Names) -> int:
    """Return how many patients have an image of the smaller class; resamples of one do not tell how others differ."""
    return min(patients_by_class(labels, patients).values())


def without_errors(proportion: float | None, patients: int, interval: Interval) -> Interval:
    """Return the exact interval of a proportion of 0 or 1, for which every resample agrees and the bootstrap fails.

    It is Clopper and Pearson's (Biometrika 1934), with the number of patients as the number of trials: if no error was
    seen in m patients, the proportion may still be as low as 0.025^(1/m). Other intervals are returned unchanged.

    An AUROC is the proportion of pairs of a PNEUMONIA and a NORMAL image that are ranked rightly. With m patients of
    the smaller class there are m pairs of which no two share a patient, so m independent trials: with these, the
    interval of an AUROC of 0 or 1 covers at least as often as it says.
    """
    if proportion not in (0.0, 1.0) or not patients:
        return interval
    edge = ((1 - LEVEL) / 2) ** (1 / patients)
    return [edge, 1.0] if proportion == 1.0 else [0.0, 1 - edge]


def at_least_wilson(proportion: float, patients: int, interval: list[float]) -> list[float]:
    """Return an interval whose ends lie at least as far out as Wilson's (JASA 1927), with patients as trials.

    The bootstrap of few patients is too short near 0 and 1, where it hardly sees an error. An AUROC counts as a
    proportion of as many trials as the smaller class has patients, which is the most that its variance can be
    (Birnbaum and Klose, Ann. Math. Statist. 1957: A (1 - A) / min(m, n)).
    """
    z2 = float(norm.isf((1 - LEVEL) / 2)) ** 2
    middle = (proportion + z2 / (2 * patients)) / (1 + z2 / patients)
    spread = math.sqrt(z2 * (proportion * (1 - proportion) + z2 / (4 * patients)) / patients) / (1 + z2 / patients)
    return [min(interval[0], middle - spread), max(interval[1], middle + spread)]


def intervals(
    table: Predictions, threshold: float, point: dict[str, float | None], resamples: int, seed: int
) -> tuple[dict[str, Interval], dict[str, Floats]]:
    """Return the 95 % interval of every figure, and the resampled values behind it.

    A figure that rests on one patient has no interval, because a bootstrap over patients needs two or more; those of
    both classes rest on the patients of each. A proportion of 0 or 1 has the exact one also then, and so has an AUROC.
    Where sensitivity or specificity is 0 or 1, the ends of balanced accuracy and F1 follow from the exact ends of both.
    A figure on which all resamples agree otherwise, such as an average precision of 1, has no interval.

    Args:
        table: one split.
        threshold: an image at or above it is called PNEUMONIA.
        point: the figures themselves, to know which proportions are 0 or 1; a figure that is None gets None.
        resamples: how many; with 2,000 the ends are stable to about the third digit.
        seed: of the resampling; the same seed gives the same intervals.
    """
    values = replicates(table, threshold, resamples, seed)
    positive, called = table.labels == POSITIVE, decisions(table.probabilities, threshold)
    images_of = {  # the images that each proportion is about
        "accuracy": np.full(len(table), True),
        "sensitivity": positive,
        "specificity": ~positive,
        "precision": called,
        "npv": ~called,
        **_images_by_kind(table),
    }
    if len(np.unique(table.patients)) < 2:  # every resample would be the table itself
        return dict.fromkeys(values), {name: np.full_like(sample, np.nan) for name, sample in values.items()}
    found = {name: None if point.get(name) is None else percentile(sample) for name, sample in values.items()}
    for name, images in images_of.items():
        patients = len(np.unique(table.patients[images]))
        found[name] = without_errors(point.get(name), patients, found[name])
        if patients == 1 and point.get(name) not in (0.0, 1.0):
            found[name] = None
    fewest = fewest_patients(table.labels, table.patients)
    found["auroc"] = without_errors(point.get("auroc"), fewest, found["auroc"])
    sensitivity, specificity = found["sensitivity"], found["specificity"]
    if sensitivity and specificity and {point["sensitivity"], point["specificity"]} & {0.0, 1.0}:
        # Both figures rise with sensitivity and with specificity, so the intervals are rather too wide.
        ends = np.array(sensitivity), np.array(specificity)
        prevalence = float(np.mean(positive))
        found["balanced_accuracy"] = np.mean(ends, axis=0).tolist()
        found["f1"] = f1_at(*ends, prevalence).tolist()
    if fewest == 1:
        found |= dict.fromkeys(_OF_EACH_CLASS)
    return found, values


def roc_band(table: Predictions, grid: Floats, resamples: int, seed: int) -> tuple[Floats, Floats]:
    """Return the 95 % band of the ROC curve: lowest and highest sensitivity at each false-positive rate of `grid` [g].

    Pointwise, by vertical averaging over resamples of patients. A resample without both classes is left out.
    """
    curves = []
    for block in weights(table.patients, resamples, seed):
        for hits, alarms in zip(*_hits_and_alarms(table.labels, table.probabilities, block), strict=True):
            if hits[-1] and alarms[-1]:
                curves.append(np.interp(grid, np.append(0, alarms / alarms[-1]), np.append(0, hits / hits[-1])))
    low, high = np.percentile(curves, ENDS, axis=0)
    return low, high


def _images_by_kind(table: Predictions) -> dict[str, Mask]:
    """Return the images of each kind of pneumonia, by the name of the figure about them, `sensitivity:bacteria`."""
    positive = table.labels == POSITIVE
    kinds = np.unique(table.subtypes[positive])
    return {f"sensitivity:{kind}": positive & (table.subtypes == kind) for kind in kinds}


def _hits_and_alarms(labels: Labels, probabilities: Floats, block: Floats) -> tuple[Floats, Floats]:
    """Return the weight of the PNEUMONIA and of the NORMAL images at or above each distinct score, highest first."""
    order = np.argsort(-probabilities, kind="stable")
    scores, ordered = probabilities[order], block[:, order]
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    hits = np.cumsum(ordered * (labels[order] == POSITIVE), axis=1)[:, ends]
    alarms = np.cumsum(ordered, axis=1)[:, ends] - hits
    return hits, alarms
