"""Robustness under shift: validation figures through every change of `pipeline.evaluation.shifts`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.config import EvaluationConfig
from pipeline.evaluation.metrics import figures
from pipeline.evaluation.predictions import Images, Predictions, joined
from pipeline.evaluation.shifts import SHIFTS, shifted
from pneumo_tfds.program.progress import track

UNCHANGED = "as they are"
REFUSED_FRACTION = "refused"
FIGURES = ("auroc", "balanced_accuracy", "sensitivity", "specificity")
ALONE = {"auroc_normal_changed": 0, "auroc_pneumonia_changed": 1}  # the label of the class that is changed alone


def through_changes(images: Images, settings: EvaluationConfig) -> Iterator[tuple[str, Images]]:
    """Yield the name of every change and the images, uint8 [n, S, S, 1], through it, with a progress bar.

    Nothing is yielded if `settings` say that the threshold is not chosen under shift.
    """
    if settings.threshold_under_shift:
        for name in track(SHIFTS, "Scoring validation through each change"):
            yield name, shifted(images, name, settings.evaluation_seed)


def pooled(tables: Mapping[str, Predictions]) -> Predictions:
    """Join the views into one table, in which each image occurs once for every view.

    A threshold that should suit all views is chosen on it. `patients` stay the same; `filenames` become `VIEW/NAME`.
    """
    return joined(replace(table, filenames=np.char.add(f"{name}/", table.filenames)) for name, table in tables.items())


def summary(
    tables: Mapping[str, Predictions], threshold: float, familiarity_threshold: float | None = None
) -> dict[str, Any]:
    """Return the figures of each view at one threshold, and their mean and worst over the changes.

    A change of one class alone does more harm than a change of both. If NORMAL children were imaged on another machine,
    a model that reads the machine calls them PNEUMONIA, however well it ranks the images of each machine. So each view
    has two more figures, for which only one class is seen through the change.

    Args:
        tables: of each view, calibrated; one of them is `UNCHANGED`. Images that are refused count in all figures.
        threshold: of the operating point.
        familiarity_threshold: below which an image is refused, if that is known.

    Returns:
        `views` (name to `auroc`, `balanced_accuracy`, `sensitivity`, `specificity`, `auroc_normal_changed`,
        `auroc_pneumonia_changed` and, with a familiarity threshold, `refused`, a fraction), `mean` and `worst` of each
        figure over all views but the unchanged one, and `auroc_pooled`: AUROC of all views together, each NORMAL
        through each change against each PNEUMONIA through each change.
    """
    found, plain = {}, tables[UNCHANGED]
    for name, table in tables.items():
        all_figures = figures(table.labels, table.probabilities, threshold)
        found[name] = {figure: all_figures[figure] for figure in FIGURES}
        for key, label in ALONE.items():
            mixed = np.where(plain.labels == label, table.probabilities, plain.probabilities)
            found[name][key] = figures(plain.labels, mixed, threshold)["auroc"]
        if familiarity_threshold is not None:
            found[name][REFUSED_FRACTION] = float(np.mean(table.familiarity < familiarity_threshold))
    changed = [row for name, row in found.items() if name != UNCHANGED]
    columns = {figure: [row[figure] for row in changed] for figure in changed[0]}
    together = pooled(tables)
    return {
        "views": found,
        "mean": {figure: float(np.mean(values)) for figure, values in columns.items()},
        "worst": {figure: (max if figure == REFUSED_FRACTION else min)(values) for figure, values in columns.items()},
        "auroc_pooled": figures(together.labels, together.probabilities, threshold)["auroc"],
    }
