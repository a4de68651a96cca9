"""Robustness under shift: validation figures through every change of `pipeline.evaluation.shifts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.evaluation.metrics import figures
from pipeline.evaluation.predictions import Images, Predict, Predictions
from pipeline.evaluation.shifts import SHIFTS, shifted
from pneumo_tfds.program.progress import track

UNCHANGED = "as they are"
FIGURES = ("auroc", "balanced_accuracy", "sensitivity", "specificity")
ALONE = {"auroc_normal_changed": 0, "auroc_pneumonia_changed": 1}  # the label of the class that is changed alone


def views(validation: Predictions, images: Images, probabilities: Predict, seed: int) -> dict[str, Predictions]:
    """Score the validation images as they are (the first view) and through every change; return a table for each view.

    Args:
        validation: the table of the images as they are.
        images: uint8 [n, S, S, 1], row by row those of the table.
        probabilities: the model.
        seed: of the changes.
    """
    changed = {
        name: validation.with_probabilities(probabilities(shifted(images, name, seed)))
        for name in track(SHIFTS, "Scoring validation through each change")
    }
    return {UNCHANGED: validation, **changed}


def pooled(tables: Mapping[str, Predictions]) -> Predictions:
    """Join the views into one table, in which each image occurs once for every view.

    A threshold that should suit all views is chosen on it. `patients` stay the same; `filenames` become `VIEW/NAME`.
    """
    named = [vars(table) | {"filenames": np.char.add(f"{name}/", table.filenames)} for name, table in tables.items()]
    return Predictions(**{column: np.concatenate([view[column] for view in named]) for column in named[0]})


def summary(tables: Mapping[str, Predictions], threshold: float) -> dict[str, Any]:
    """Return the figures of each view at one threshold, and their mean and worst over the changes.

    A change of one class alone does more harm than a change of both. If NORMAL children were imaged on another machine,
    a model that reads the machine calls them PNEUMONIA, however well it ranks the images of each machine. So each view
    has two more figures, for which only one class is seen through the change. The tables, from `views`, are calibrated.

    Returns:
        `views` (name to `auroc`, `balanced_accuracy`, `sensitivity`, `specificity`, `auroc_normal_changed` and
        `auroc_pneumonia_changed`), `mean` and `worst` of each figure over all views but the unchanged one, and
        `auroc_pooled`: AUROC of all views together, each NORMAL through each change against each PNEUMONIA through each
        change.
    """
    found, plain = {}, tables[UNCHANGED]
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
