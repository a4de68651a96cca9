"""Figures of cross-validation: of each fold, their mean and spread, and of all out-of-fold predictions together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from pipeline.evaluation.calibration import logits
from pipeline.evaluation.predictions import Predictions, joined
from pipeline.evaluation.scoring import score_split

FIGURES = (
    "auroc", "average_precision", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "npv",
    "f1", "brier", "ece",
)  # fmt: skip
OF_PROBABILITIES = ("auroc", "average_precision", "brier", "ece")
"""Figures that depend on no threshold."""


def fold_figures(
    tables: Mapping[str, Predictions],
    thresholds: Sequence[float],
    figures: Sequence[Mapping[str, Any]],
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """Return the content of `folds.json`.

    Args:
        tables: of each fold, by its name, the images that it held out, with its own calibrated probabilities.
        thresholds: of each fold, chosen without these images.
        figures: of each fold, from `score_split`.
        seed: of the bootstrap.
        resamples: of the bootstrap, over the patients of all folds.

    Returns:
        `folds` (each `name`, `threshold`, `images`, `patients` and its figures), `mean` and `deviation` (of each figure
        over the folds; the sample standard deviation; None if it is not defined in each), and `pooled`: the figures of
        all images together with `intervals`, each image called by the threshold of its fold.
    """
    table = joined(tables.values())
    # On the scale of logits less the fold's threshold, one half is the threshold of every fold.
    shift = np.repeat(logits(np.asarray(thresholds)), [len(part) for part in tables.values()])
    called = table.with_probabilities(expit(logits(table.probabilities) - shift))
    pooled = score_split(called, 0.5, seed, resamples)
    of_probabilities = score_split(table, 0.5, seed, resamples)
    for name in OF_PROBABILITIES:
        pooled[name], pooled["intervals"][name] = of_probabilities[name], of_probabilities["intervals"][name]
    values = {name: [one[name] for one in figures] for name in FIGURES}
    defined = {name: part for name, part in values.items() if None not in part}
    return {
        "folds": [
            {"name": name, "threshold": threshold, "images": one["n"], "patients": one["patients"]}
            | {figure: one[figure] for figure in FIGURES}
            for name, threshold, one in zip(tables, thresholds, figures, strict=True)
        ],
        "mean": dict.fromkeys(FIGURES) | {name: float(np.mean(part)) for name, part in defined.items()},
        "deviation": dict.fromkeys(FIGURES) | {name: float(np.std(part, ddof=1)) for name, part in defined.items()},
        "pooled": pooled,
    }
