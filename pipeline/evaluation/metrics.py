"""Metrics of one split, from arrays. PNEUMONIA (1) is the positive class; an undefined figure is None."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, roc_auc_score

from pipeline.evaluation.calibration import expected_calibration_error
from pipeline.evaluation.predictions import POSITIVE, Floats, Labels, Mask, Names
from pneumo_tfds.program.errors import InputError

PREVALENCES = (0.01, 0.05, 0.10, 0.20, 0.50)
"""Prevalences for which predictive values are also reported; that of a hospital is rarely that of the data set."""


def decisions(probabilities: Floats, threshold: float) -> Mask:
    """Return which images are called PNEUMONIA, bool [n]: those with a probability at or above the threshold."""
    return np.asarray(probabilities, dtype=np.float64) >= threshold


def figures(labels: Labels, probabilities: Floats, threshold: float) -> dict[str, Any]:
    """Compute every figure of a split that is one number, and its confusion matrix.

    Args:
        labels: int64 [n], 0 NORMAL or 1 PNEUMONIA.
        probabilities: float [n], P(PNEUMONIA).
        threshold: an image at or above it is called PNEUMONIA.

    Returns:
        `n`, `prevalence`, `accuracy`, `balanced_accuracy`, `auroc`, `average_precision`, `sensitivity`, `specificity`,
        `precision`, `npv`, `f1`, `brier`, `ece`, each a float (0 to 1) or None where undefined (AUROC of one class,
        precision with nothing called PNEUMONIA), and `confusion_matrix` with the counts `tn, fp, fn, tp`.
    """
    labels, probabilities = np.asarray(labels, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    if labels.shape != probabilities.shape or labels.ndim != 1 or not len(labels):
        raise InputError(f"figures need labels and probabilities [n], not {labels.shape} and {probabilities.shape}")
    called = decisions(probabilities, threshold)
    tn, fp, fn, tp = map(int, confusion_matrix(labels, called, labels=[0, POSITIVE]).ravel())
    both, positives = 0 < tp + fn < len(labels), tp + fn > 0
    sensitivity, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    balanced = None if sensitivity is None or specificity is None else (sensitivity + specificity) / 2
    return {
        "n": len(labels),
        "prevalence": (tp + fn) / len(labels),
        "accuracy": (tp + tn) / len(labels),
        "balanced_accuracy": balanced,
        "auroc": float(roc_auc_score(labels, probabilities)) if both else None,
        "average_precision": float(average_precision_score(labels, probabilities)) if positives else None,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "precision": _ratio(tp, tp + fp),
        "npv": _ratio(tn, tn + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn) if positives else None,
        "brier": float(brier_score_loss(labels, probabilities, pos_label=POSITIVE)),
        "ece": expected_calibration_error(labels, probabilities),
        "confusion_matrix": {"tn": tn, "fp": fp, "fn": fn, "tp": tp},
    }


def by_subtype(labels: Labels, probabilities: Floats, subtypes: Names, threshold: float) -> dict[str, dict[str, Any]]:
    """Return `n` images and `sensitivity` for each kind of pneumonia (bacteria, virus, unknown), by name."""
    called, positive = decisions(probabilities, threshold), labels == POSITIVE
    kinds = {str(kind): called[positive & (subtypes == kind)] for kind in np.unique(subtypes[positive])}
    return {kind: {"n": len(found), "sensitivity": float(found.mean())} for kind, found in kinds.items()}


def predictive_values(sensitivity: Floats, specificity: Floats, prevalence: float) -> tuple[Floats, Floats]:
    """Compute precision and negative predictive value at a prevalence, by Bayes' rule; NaN where nothing is so called.

    Sensitivity and specificity are arrays of one shape. The prevalence is the fraction of images that are PNEUMONIA
    where the model would be used.
    """
    hits, misses = sensitivity * prevalence, (1 - sensitivity) * prevalence
    clears, alarms = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    with np.errstate(invalid="ignore"):
        return hits / (hits + alarms), clears / (clears + misses)


def f1_at(sensitivity: Floats, specificity: Floats, prevalence: float) -> Floats:
    """Compute F1 at a prevalence over 0: 2 hits / (hits + alarms + ill), each as a fraction of all images."""
    hits, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    f1: Floats = 2 * hits / (hits + alarms + prevalence)
    return f1


def most_confident_errors(labels: Labels, probabilities: Floats, threshold: float, most: int) -> Labels:
    """Return the most confident errors as indices int64 [k], k at most `most`: missed pneumonias, then false alarms.

    Each of the two gets half of the places, and those that the other does not need. The most confident come first: the
    lowest probability among the missed pneumonias, the highest among the false alarms.
    """
    called = decisions(probabilities, threshold)
    missed = np.flatnonzero(~called & (labels == POSITIVE))
    alarms = np.flatnonzero(called & (labels != POSITIVE))
    missed = missed[np.argsort(probabilities[missed], kind="stable")]
    alarms = alarms[np.argsort(-probabilities[alarms], kind="stable")]
    places = max(most - len(alarms), (most + 1) // 2)
    chosen = missed[:places]
    return np.concatenate([chosen, alarms[: most - len(chosen)]]).astype(np.int64)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
