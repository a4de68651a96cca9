"""How a model holds under shift: the validation patients through every change of `pipeline.evaluation.shifts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import figures
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.shifts import SHIFTS, shifted

UNCHANGED = "as they are"
FIGURES = ("auroc", "balanced_accuracy", "sensitivity", "specificity")
ALONE = {"auroc_normal_changed": 0, "auroc_pneumonia_changed": 1}  # the label of the class that is changed alone


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

    A change that comes with one class alone is worse than one that comes with both: if NORMAL children were imaged on
    another machine, a model that reads the machine calls them PNEUMONIA, however well it ranks the images of each
    machine. So each view has two more figures, in which only one class is seen through the change.

    Args:
        tables: from `views`, calibrated.
        threshold: of the operating point.

    Returns:
        `views` (name to `auroc`, `balanced_accuracy`, `sensitivity`, `specificity`, `auroc_normal_changed` and
        `auroc_pneumonia_changed`), `mean` and `worst` of each figure over all views but the unchanged one, and
        `auroc_pooled`: of all views together, that is of each NORMAL through each change against each PNEUMONIA
        through each other.
    """
    found = {}
    plain = tables[UNCHANGED]
    for name, table in tables.items():
        all_figures = figures(table.labels, table.probabilities, threshold)
        found[name] = {figure: all_figures[figure] for figure in FIGURES}
        for key, label in ALONE.items():
            mixed = np.where(plain.labels == label, table.probabilities, plain.probabilities)
            found[name][key] = figures(plain.labels, mixed, threshold)["auroc"]
    changed = [row for name, row in found.items() if name != UNCHANGED]
    together = pooled(tables)
    return {
        "views": found,
        "mean": {figure: float(np.mean([row[figure] for row in changed])) for figure in changed[0]},
        "worst": {figure: float(np.min([row[figure] for row in changed])) for figure in changed[0]},
        "auroc_pooled": figures(together.labels, together.probabilities, threshold)["auroc"],
    }
