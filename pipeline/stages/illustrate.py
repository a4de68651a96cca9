"""Illustrating a run: plots and the report."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.data.split import Split
from pipeline.evaluation.metrics import most_confident_errors
from pipeline.evaluation.predictions import read_csv
from pipeline.networks.forward_pass import OutputsFn
from pipeline.report import plots, xray_grids
from pipeline.report.report_page import ERRORS_LISTED, write_report
from pipeline.report.report_tables import error_rows
from pipeline.run_folder import history
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.progress import stage


def illustrate(
    folder: RunFolder, predict: OutputsFn, splits: Mapping[str, Split], seed: int, *, show_names: bool = False
) -> None:
    """Draw the plots of a run from its `metrics.json` and `predictions.csv`, and write `report.html`.

    Args:
        folder: of the run.
        predict: its inference model.
        splits: of its dataset.
        seed: of the images that are picked.
        show_names: show files and folders in the report.
    """
    metrics = folder.read_json(folder.metrics)
    threshold, resamples = metrics["operating_point"]["threshold"], metrics["bootstrap"]["resamples"]
    tables = read_csv(folder.predictions, metrics)
    with stage("Drawing plots"):
        if epochs := history.read(folder.history):
            plots.training_curves(folder.plots / "training_curves.png", epochs)
        counts = {name: plots.count_kinds(part.labels, part.subtypes) for name, part in splits.items()}
        plots.class_distribution(folder.plots / "class_distribution.png", counts)
        first = next(iter(splits.values()))
        shown = first.take(xray_grids.some_of_each(first.labels, seed))
        xray_grids.examples(folder.plots / "examples.png", shown.images, shown.labels)
        for name, table in tables.items():
            plots.draw_split(folder.plots, name, table, metrics["splits"][name], threshold, resamples)
            worst = most_confident_errors(table.labels, table.probabilities, threshold, ERRORS_LISTED)
            picture = folder.plots / f"mistakes_{name}.png"
            if len(worst):
                images = splits[name if name in splits else "train"].take(worst).images  # train: out of fold
                xray_grids.errors(picture, images, predict(images).get("heatmap"), error_rows(tables, name, worst))
            else:
                picture.unlink(missing_ok=True)  # that of an earlier evaluation
    write_report(folder, show_names=show_names)
