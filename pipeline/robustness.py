"""How a model holds under shift: the validation patients through every change of `pipeline.shift`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics import figures
from pipeline.predictions import Predictions
from pipeline.shift import SHIFTS, shifted

UNCHANGED = "as they are"
FIGURES = ("auroc", "balanced_accuracy", "sensitivity", "specificity")


def views(
    validation: Predictions,
    images: NDArray[np.uint8],
    probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float64]],
    seed: int,
) -> dict[str, Predictions]:
    """Score the validation images through every change.

    Args:
        validation: their table as they are.
        images: uint8 `[n, S, S, 1]`, row by row those of the table.
        probabilities: what gives P(PNEUMONIA) `[n]` for images.
        seed: of the changes.

    Returns:
        Name of the view to its table; the first is the images as they are.
    """
    changed = {name: validation.with_probabilities(probabilities(shifted(images, name, seed))) for name in SHIFTS}
    return {UNCHANGED: validation, **changed}


def pooled(tables: Mapping[str, Predictions]) -> Predictions:
    """Join the views into one table, each image once for every view: what a threshold meant for all should see.

    Patients stay who they are; `filenames` become `VIEW/NAME`.
    """
    every = list(tables.values())
    return Predictions(
        filenames=np.concatenate([np.char.add(f"{name}/", table.filenames) for name, table in tables.items()]),
        patients=np.concatenate([table.patients for table in every]),
        subtypes=np.concatenate([table.subtypes for table in every]),
        labels=np.concatenate([table.labels for table in every]),
        probabilities=np.concatenate([table.probabilities for table in every]),
    )


def summary(tables: Mapping[str, Predictions], threshold: float) -> dict[str, Any]:
    """Give the figures of each view at one threshold, and their mean and worst over the changes.

    Args:
        tables: from `views`, calibrated.
        threshold: of the operating point.

    Returns:
        `views` (name to AUROC, balanced accuracy, sensitivity, specificity), `mean` and `worst` of each figure over
        all views but the unchanged one.
    """
    found = {}
    for name, table in tables.items():
        all_figures = figures(table.labels, table.probabilities, threshold)
        found[name] = {figure: all_figures[figure] for figure in FIGURES}
    changed = [row for name, row in found.items() if name != UNCHANGED]
    return {
        "views": found,
        "mean": {figure: float(np.mean([row[figure] for row in changed])) for figure in FIGURES},
        "worst": {figure: float(np.min([row[figure] for row in changed])) for figure in FIGURES},
    }
