"""The report of a run, `report.html`: one page with everything embedded, rebuilt from the run folder at any time.

The page names no patient, file or folder unless asked to: images are identified by their row in `predictions.csv`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jinja2 import UndefinedError

from pipeline.config.config_json import with_current_names
from pipeline.evaluation.doubt import Doubt
from pipeline.evaluation.evaluation_lock import verify
from pipeline.evaluation.metrics import most_confident_errors
from pipeline.evaluation.predictions import Predictions, read_csv
from pipeline.evaluation.scoring import CHOSEN_ON, by_interest
from pipeline.evaluation.shifts import SHIFTS
from pipeline.report import report_tables
from pipeline.report.checklist import write_checklist
from pipeline.report.model_card import statements, write_model_card
from pipeline.report.reader_warnings import drops, warnings_of
from pipeline.run_folder import history
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, write_text
from pneumo_tfds.program.html_page import data_uri, render

ERRORS_LISTED = 12
"""Errors of each split in the table, and in the picture above it."""
OF_LATER_STAGES = ("parity", "robustness", "shortcuts", "explanation", "folds")
"""Files of the run folder that are shown if they exist."""


def write_report(folder: RunFolder, *, show_names: bool = False) -> None:
    """Build `report.html`, `model_card.md` and `checklist.html` from the files of a run folder, and replace them.

    Of an evaluation on other images the latter two are those of its run, with the new figures.

    Only splits that are in both `metrics.json` and `predictions.csv` are shown, `test` first. Plots and the files of
    later stages are shown if they exist.

    Args:
        folder: of the run; `metrics.json` and `predictions.csv` must exist.
        show_names: name the files of the errors, and the folders in the settings.

    Raises:
        InputError: the run has no metrics or predictions yet, or one of its files cannot be read.
    """
    metrics = folder.read_json(folder.metrics)
    tables = read_csv(folder.predictions, metrics)
    later = {name: folder.read_json_if_there(getattr(folder, name)) for name in OF_LATER_STAGES}
    path = folder.path.resolve()
    external = metrics.get("external") or {}
    other = path.name.startswith("evaluation-") and not show_names  # the name of the folder of other images follows
    with _complete(folder):
        page = render(
            "pipeline.report",
            "template.html",
            name=f"{path.parent.name}, on other images" if other else path.name,
            show_names=show_names,
            epochs=history.read(folder.history),
            plots={plot.stem: data_uri(plot.read_bytes()) for plot in folder.plots.glob("[!.]*.png")},
            lock=verify(folder),
            external=external,
            own=external.get("own", {}),
            statements=statements(
                external.get("own", {}).get("dataset") or metrics.get("dataset") or {},
                metrics,
                groups=bool(external.get("groups")),
            ),
            fold_rows=report_tables.fold_rows,
            **report_tables.FOR_TEMPLATES,
            **later,
            **_evaluation(folder, metrics, tables, later, show_names),
        )
        write_text(folder.report, page)
    run = RunFolder(folder.path.parent) if external else folder
    if run.metrics.exists():
        with _complete(run):
            write_model_card(run)
            write_checklist(run)


@contextmanager
def _complete(folder: RunFolder) -> Iterator[None]:
    """Say of errors about missing or wrong entries that a JSON file in the folder is not complete."""
    try:
        yield
    except InputError:
        raise
    except (*JSON_SHAPE_ERRORS, UndefinedError) as error:
        reason = f"a JSON file in {folder.path} is not complete ({error})"
        raise InputError(f"{reason}; evaluate the run again") from error


def _evaluation(
    folder: RunFolder,
    metrics: Mapping[str, Any],
    tables: Mapping[str, Predictions],
    later: Mapping[str, Mapping[str, Any]],
    show_names: bool,
) -> dict[str, Any]:
    """Return what the template shows of the figures, the predictions and the settings."""
    point, dataset = metrics["operating_point"], metrics.get("dataset") or {}
    shown = [split for split in by_interest(metrics["splits"]) if split in tables]
    if not shown:
        raise InputError(f"{folder.path} has no predictions for the splits of its metrics; evaluate the run again")
    doubt = Doubt.from_json(metrics["doubt"]) if metrics.get("doubt") else None
    splits = []
    for split in shown:
        table, threshold = tables[split], point["threshold"]
        errors = most_confident_errors(table.labels, table.probabilities, threshold, ERRORS_LISTED)
        splits.append(
            {
                "name": split,
                "figures": metrics["splits"][split],
                "classification": report_tables.classification_rows(table, threshold),
                "errors": report_tables.error_rows(tables, split, errors, files=show_names),
                "reasons": report_tables.reasons(table, errors, threshold, doubt),
            }
        )
    described = {name: len(part) if isinstance(part, list) else part for name, part in dataset.items()}
    external = metrics.get("external") or {}
    if external:  # nothing was divided, so there are no splits to name
        described |= {name: sum(dataset[name].values()) for name in ("images", "patients") if dataset.get(name)}
    names = {str(value) for table in tables.values() for value in (*table.filenames, *table.patients)}
    private = None if show_names else names
    configuration = with_current_names(folder.read_json_if_there(folder.config))
    under_shift = "views" in later["robustness"] or configuration.get("evaluation", {}).get(
        "threshold_under_shift", False
    )
    return {
        "headline": report_tables.headline(metrics, shown[0]),
        "warnings": warnings_of(folder, shown[0]),
        "drops": drops(external.get("own", {}), metrics["splits"][shown[0]]),
        "metrics": metrics,
        "dataset": dataset,
        "phantom": bool(dataset.get("phantom")),
        "point": point,
        "doubt": doubt,
        "refused": metrics.get("refused"),
        "views": 1 + len(SHIFTS) if under_shift and point["chosen_on"] == CHOSEN_ON else 1,
        "splits": splits,
        "configuration": report_tables.setting_rows(configuration, private),
        "data_summary": report_tables.setting_rows(described, private),
    }
