"""The report of a run, `report.html`: one page with everything embedded, rebuilt from the run folder at any time.

The page names no patient, file or folder unless asked to: images are identified by their row in `predictions.csv`.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError

from pipeline.config.config_json import with_current_names
from pipeline.evaluation.evaluation_lock import verify
from pipeline.evaluation.metrics import most_confident_errors
from pipeline.evaluation.predictions import Predictions, read_csv
from pipeline.evaluation.shifts import SHIFTS
from pipeline.report import report_tables
from pipeline.run_folder import history
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, write_text
from pneumo_tfds.program.html_page import data_uri, render

ERRORS_LISTED = 12
EVALUATION = "evaluation-"
CAPTIONS = {
    "confusion_matrix": "Each row is one label; the percentages are of the row.",
    "roc": "All thresholds at once. At each false-positive rate, the band contains 95 % of the resamples of patients. "
    "The dot is the threshold in use.",
    "precision_recall": "Precision is the fraction of images called PNEUMONIA that are PNEUMONIA. It depends on the "
    "prevalence of this split.",
    "calibration": "On the diagonal, predicted probabilities equal observed frequencies. Below it the model predicts "
    "too high a probability of PNEUMONIA, above it too low a one. The bars are 95 % intervals that count images as "
    "independent.",
    "scores": "Predicted probabilities by label. Images to the right of the threshold are called PNEUMONIA.",
    "mistakes": "The most confident errors. If there is a second picture, it is the heat map: orange areas spoke for "
    "PNEUMONIA, blue ones against it, all on one scale. A heat map shows what influenced this network, not where "
    "disease is.",
    "class_distribution": "",
    "examples": "A random selection of the model's input, at the size that the model sees.",
    "training_curves": "The validation figures are of the weights that would be kept after that epoch.",
}


def write_report(folder: RunFolder, *, show_names: bool = False) -> None:
    """Build `report.html` from the files of a run folder, and replace the one that is there.

    Only splits that are in both `metrics.json` and `predictions.csv` are shown, `test` first. Plots and the files of
    later stages are shown if they exist.

    Args:
        folder: of the run; `metrics.json` and `predictions.csv` must exist.
        show_names: name the files of the errors, and the folders in the settings.

    Raises:
        InputError: the run has no metrics or predictions yet, or one of its files cannot be read.
    """
    metrics, tables = folder.read_json(folder.metrics), read_csv(folder.predictions)
    path = folder.path.resolve()
    other = path.name.startswith(EVALUATION) and not show_names  # then its name is that of the folder of other images
    texts = (report_tables.number, report_tables.span, report_tables.percent, report_tables.counted)
    try:
        page = render(
            "pipeline.report",
            "template.html",
            name=f"{path.parent.name}, on other images" if other else path.name,
            show_names=show_names,
            training=_training(history.read(folder.history)),
            parity=_optional(folder, folder.parity),
            robustness=_optional(folder, folder.robustness),
            shortcuts=_optional(folder, folder.shortcuts),
            explanation=_optional(folder, folder.explanation),
            lock=verify(folder),
            **_evaluation(folder, metrics, tables, show_names),
            **{function.__name__: function for function in texts},
        )
    except InputError:
        raise
    except (*JSON_SHAPE_ERRORS, UndefinedError) as error:
        reason = f"a JSON file in {folder.path} is not complete ({error})"
        raise InputError(f"{reason}; evaluate the run again") from error
    write_text(folder.report, page)


def _evaluation(
    folder: RunFolder, metrics: Mapping[str, Any], tables: Mapping[str, Predictions], show_names: bool
) -> dict[str, Any]:
    """Return what the template shows of the figures, the predictions, the plots and the settings."""
    point, dataset = metrics["operating_point"], metrics.get("dataset") or {}
    shown = [split for split in sorted(metrics["splits"], key=_test_first) if split in tables]
    if not shown:
        raise InputError(f"{folder.path} has no predictions for the splits of its metrics; evaluate the run again")
    plots = _plots(folder)
    errors = {
        split: most_confident_errors(
            tables[split].labels, tables[split].probabilities, point["threshold"], ERRORS_LISTED
        )
        for split in shown
    }
    splits = [
        {
            "name": split,
            "figures": metrics["splits"][split],
            "classification": report_tables.classification_rows(tables[split], point["threshold"]),
            "thousand": report_tables.per_thousand(metrics["splits"][split]),
            "errors": report_tables.error_rows(tables, split, errors[split], files=show_names),
            "plots": [plot for plot in plots if plot["name"] == f"{plot['kind']}_{split}"],
        }
        for split in shown
    ]
    names = {str(value) for table in tables.values() for value in (*table.filenames, *table.patients)}
    private = None if show_names else names
    configuration = with_current_names(_optional(folder, folder.config))
    under_shift = folder.robustness.exists() or configuration.get("evaluation", {}).get("threshold_under_shift", False)
    return {
        "headline": report_tables.headline(metrics, shown[0]),
        "warnings": report_tables.warnings(metrics, shown[0]),
        "metrics": metrics,
        "dataset": dataset,
        "phantom": bool(dataset.get("phantom")),
        "point": point,
        "views": 1 + len(SHIFTS) if under_shift else 1,
        "splits": splits,
        "figures": report_tables.FIGURES,
        "other_plots": [plot for plot in plots if not any(plot in split["plots"] for split in splits)],
        "configuration": report_tables.setting_rows(configuration, private),
        "data_summary": report_tables.setting_rows(report_tables.without_lists(dataset), private),
    }


def _plots(folder: RunFolder) -> list[dict[str, str]]:
    """Return the PNGs of the run, in the order of `CAPTIONS`, ready to be embedded."""
    found = []
    for path in sorted(folder.plots.glob("[!.]*.png")):
        kind = next((kind for kind in CAPTIONS if path.stem.startswith(kind)), path.stem)
        text = {"title": path.stem.replace("_", " "), "caption": CAPTIONS.get(kind, "")}
        found.append({"name": path.stem, "kind": kind, "source": data_uri(path.read_bytes()), **text})
    order = [*CAPTIONS, *(plot["kind"] for plot in found)]
    return sorted(found, key=lambda plot: order.index(plot["kind"]))


def _optional(folder: RunFolder, path: Path) -> dict[str, Any]:
    return folder.read_json(path) if path.exists() else {}


def _test_first(split: str) -> tuple[int, str]:
    return ({"test": 0, "validation": 1}.get(split, 2), split)


def _training(epochs: Sequence[history.Epoch]) -> dict[str, Any]:
    """Return the number of epochs, the best one, the minutes in all and the median of images a second."""
    if not epochs:
        return {}
    return {
        "epochs": len(epochs),
        "best": max(epochs, key=lambda epoch: epoch.validation_auroc),
        "minutes": sum(epoch.seconds for epoch in epochs) / 60,
        "images_per_second": statistics.median_high(epoch.images_per_second for epoch in epochs),
    }
