"""Stage 3 of a run: plots, checks of what the model looks at, and the report."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.data.split import Split
from pipeline.evaluation.metrics import most_confident_errors
from pipeline.evaluation.occlusion import OTHER_PLACES, occlusion_check
from pipeline.evaluation.predictions import POSITIVE, Predictions, read_csv
from pipeline.evaluation.shortcuts import CHANGES, shortcut_audit
from pipeline.networks.forward_pass import OutputsFn
from pipeline.report import plots, xray_grids
from pipeline.report.report_page import write_report
from pipeline.report.report_tables import error_rows
from pipeline.run_folder import history
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.files import write_json
from pneumo_tfds.program.progress import stage

ERRORS_SHOWN = 9  # of each split
SHORTCUT_TRAINING_IMAGES = 1000  # that the classifier on exposure and sharpness alone learns from
CHECKED_IMAGES = 300  # of validation, for the checks of what the model looks at; more change the third digit


def illustrate(
    folder: RunFolder, ask: OutputsFn, splits: Mapping[str, Split], seed: int, *, show_names: bool = False
) -> None:
    """Draw the plots of a run from its `metrics.json` and `predictions.csv`, and write `report.html`.

    Args:
        folder: of the run.
        ask: its inference model.
        splits: of its dataset.
        seed: of the images that are picked.
        show_names: show files and folders in the report.
    """
    metrics = folder.read_json(folder.metrics)
    threshold = metrics["operating_point"]["threshold"]
    tables = read_csv(folder.predictions)
    with stage("Drawing plots"):
        if epochs := history.read(folder.history):
            plots.training_curves(folder.plots / "training_curves.png", epochs)
        counts = {
            name: plots.count_kinds(part.examples.labels, part.examples.subtypes) for name, part in splits.items()
        }
        plots.class_distribution(folder.plots / "class_distribution.png", counts)
        shown = next(iter(splits.values())).examples
        xray_grids.examples(folder.plots / "examples.png", shown.images, shown.labels, seed)
        for name, table in tables.items():
            plots.draw_split(folder.plots, name, table, metrics["splits"][name], threshold)
            _draw_errors(folder, ask, splits, tables, name, threshold)
    if "validation" in splits:  # not in a run of folds, each of which is checked
        _check(folder, ask, splits, tables["validation"], threshold, seed)
    write_report(folder, show_names=show_names)


def passes(splits: Mapping[str, Split]) -> int:
    """Return about how many images `illustrate` asks a model about, some of them once for every change."""
    checked = min(CHECKED_IMAGES, splits["validation"].count) if "validation" in splits else 0
    return checked * (len(CHANGES) + OTHER_PLACES + 2)


def _draw_errors(
    folder: RunFolder,
    ask: OutputsFn,
    splits: Mapping[str, Split],
    tables: Mapping[str, Predictions],
    name: str,
    threshold: float,
) -> None:
    """Draw the most confident errors of a split, or remove the picture of an earlier evaluation if there are none."""
    worst = most_confident_errors(tables[name].labels, tables[name].probabilities, threshold, ERRORS_SHOWN)
    picture = folder.plots / f"mistakes_{name}.png"
    if len(worst):
        images = splits[name if name in splits else "train"].examples.images[worst]  # out of fold
        xray_grids.errors(picture, images, ask(images).get("heatmap"), error_rows(tables, name, worst))
    else:
        picture.unlink(missing_ok=True)


def _check(
    folder: RunFolder, ask: OutputsFn, splits: Mapping[str, Split], table: Predictions, threshold: float, seed: int
) -> None:
    """Check which shortcuts the model could be using, and whether its heat maps show what it uses."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(table.labels))[:CHECKED_IMAGES])
    images, some = splits["validation"].examples.images[chosen], table.take(chosen)
    learned_from = None
    if "train" in splits:
        train = splits["train"].examples
        every = max(1, len(train) // SHORTCUT_TRAINING_IMAGES)
        learned_from = train.images[::every], train.labels[::every]
    audit = shortcut_audit(
        ask.probabilities, images, some, threshold, split="validation", train=learned_from, seed=seed
    )
    write_json(folder.shortcuts, audit)
    called = np.flatnonzero((some.probabilities >= threshold) & (some.labels == POSITIVE))
    heatmaps = ask(images[called]).get("heatmap") if len(called) else None
    if heatmaps is not None:
        checked = occlusion_check(ask.probabilities, images[called], heatmaps, some.patients[called], seed=seed)
        write_json(folder.explanation, checked)
