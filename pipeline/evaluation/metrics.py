"""The figures of one split, from arrays. PNEUMONIA (1) is the positive class; a figure with no meaning is None."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, roc_auc_score

from pipeline.evaluation.calibration import expected_calibration_error
from pipeline.evaluation.predictions import POSITIVE
from pneumo_tfds.program.errors import InputError

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

PREVALENCES = (0.01, 0.05, 0.10, 0.20, 0.50)
"""Where predictive values are also given; a hospital's own is rarely the data set's."""


def decisions(probabilities: Floats, threshold: float) -> npt.NDArray[np.bool_]:
    """Which images are called PNEUMONIA, bool [n]: those whose probability is at or above the threshold."""
    return np.asarray(probabilities, dtype=np.float64) >= threshold


def confusion(labels: Labels, called: npt.NDArray[np.bool_]) -> dict[str, int]:
    """Counts `tn, fp, fn, tp` with PNEUMONIA positive: fp is a NORMAL image called PNEUMONIA."""
    counts = confusion_matrix(labels, called.astype(np.int64), labels=[0, POSITIVE]).ravel()
    return dict(zip(("tn", "fp", "fn", "tp"), map(int, counts), strict=True))


def figures(labels: Labels, probabilities: Floats, threshold: float) -> dict[str, Any]:
    """Every figure of a split that is one number, and its confusion matrix.

    Args:
        labels: int64 [n], 0 NORMAL or 1 PNEUMONIA.
        probabilities: float [n], P(PNEUMONIA).
        threshold: at or above it an image is called PNEUMONIA.

    Returns:
        `n`, `prevalence`, `accuracy`, `balanced_accuracy`, `auroc`, `average_precision`, `sensitivity`, `specificity`,
        `precision`, `npv`, `f1`, `brier`, `ece`, each a float (0 to 1) or None where undefined (AUROC of one class,
        precision with nothing called PNEUMONIA), and `confusion_matrix`.
    """
    labels, probabilities = np.asarray(labels, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    if labels.shape != probabilities.shape or labels.ndim != 1 or not len(labels):
        raise InputError(f"figures need labels and probabilities [n], not {labels.shape} and {probabilities.shape}")
    counts = confusion(labels, decisions(probabilities, threshold))
    tn, fp, fn, tp = counts["tn"], counts["fp"], counts["fn"], counts["tp"]
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
        "confusion_matrix": counts,
    }


def by_subtype(
    labels: Labels, probabilities: Floats, subtypes: npt.NDArray[np.str_], threshold: float
) -> dict[str, dict[str, Any]]:
    """The sensitivity for each kind of pneumonia (bacteria, virus, unknown): `n` images and `sensitivity`, by name."""
    called, positive = decisions(probabilities, threshold), labels == POSITIVE
    found: dict[str, dict[str, Any]] = {}
    for subtype in np.unique(subtypes[positive]):
        here = positive & (subtypes == subtype)
        found[str(subtype)] = {"n": int(here.sum()), "sensitivity": float(called[here].mean())}
    return found


def predictive_values(sensitivity: Floats, specificity: Floats, prevalence: float) -> tuple[Floats, Floats]:
    """Precision and negative predictive value at a prevalence, by Bayes' rule; NaN where nothing is so called.

    Args:
        sensitivity: float array of any shape, 0 to 1.
        specificity: float array of the same shape.
        prevalence: the fraction of images that are PNEUMONIA where the model would be used, 0 to 1.
    """
    hits, misses = sensitivity * prevalence, (1 - sensitivity) * prevalence
    clears, alarms = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    with np.errstate(invalid="ignore"):
        return hits / (hits + alarms), clears / (clears + misses)


def worst_mistakes(labels: Labels, probabilities: Floats, threshold: float, most: int) -> npt.NDArray[np.int64]:
    """The surest mistakes: indices int64 [k], k at most `most`; missed pneumonias first, then false alarms.

    Each kind gets half of the places and what the other leaves over. Within a kind the surest come first: the lowest
    probability of PNEUMONIA, the highest of NORMAL.
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
