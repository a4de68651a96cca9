"""One page about one run, `report.html`: everything embedded, nothing fetched, rebuilt from the run folder at any time.

The page names no patient, file or folder unless asked to: images are told by their row in `predictions.csv`.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

from pipeline.evaluation.evaluation_lock import verify
from pipeline.evaluation.predictions import Predictions, read_csv
from pipeline.report.plot_style import number, span
from pipeline.report.report_tables import (
    classification,
    counted,
    figure_rows,
    flat,
    mistake_rows,
    per_thousand,
    subtype_rows,
    verdict,
    warnings,
)
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, read_json, write_text

TEMPLATE = Path(__file__).with_name("template.html")
MISTAKES_LISTED = 12
EVALUATION = "evaluation-"
CAPTIONS = {
    "confusion_matrix": "Each row is what the label says; percentages are of the row.",
    "roc": "Every threshold at once. The band holds 95 % of resamples of patients at each false-positive rate; the dot "
    "is the threshold in use.",
    "precision_recall": "How many of the images called PNEUMONIA are. It depends on the prevalence of this split.",
    "calibration": "Points on the diagonal mean what they say. Below it the model says PNEUMONIA too surely, "
    "above it too timidly. "
    "Bars are 95 % intervals, counting images as independent.",
    "scores": "What the model says of each class. Bars right of the threshold are called PNEUMONIA.",
    "mistakes": "The surest mistakes. Where there is a second picture: orange spoke for PNEUMONIA, blue against, on "
    "one scale. A heat map shows what moved this network, not where disease is.",
    "class_distribution": "",
    "examples": "Drawn at random from what the model was given, at the size that it sees.",
    "training_curves": "Validation figures are of the weights that would be kept.",
}
ORDER = tuple(CAPTIONS)


@dataclass(frozen=True)
class Plot:
    """A PNG of the run folder, ready to embed."""

    name: str
    caption: str
    data: str
    """base64."""

    @property
    def kind(self) -> str:
        """The part of the name before the split."""
        return next((kind for kind in ORDER if self.name.startswith(kind)), self.name)

    @property
    def title(self) -> str:
        """For readers who cannot see the picture."""
        return self.name.replace("_", " ")


def write_report(run_dir: Path, *, show_names: bool = False) -> Path:
    """Build `report.html` from the files of a run folder, and replace the one that is there.

    With `show_names` it names the files of the mistakes and the folders of the settings.

    It reads `config.json`, `metrics.json`, `predictions.csv`, and, where they are, `history.csv`, `parity.json`,
    `shortcuts.json`, `explanation.json`, `lock.json` and `plots/*.png`. Only splits that are in both `metrics.json`
    and `predictions.csv` are shown; `test` first.

    Returns:
        The path of the page.

    Raises:
        InputError: the run has no metrics or predictions yet, or one of its files cannot be read.
    """
    metrics = _json(run_dir / "metrics.json", needed=True)
    tables = read_csv(run_dir / "predictions.csv")
    page = render(_title(run_dir.resolve(), show_names), metrics, tables, run_dir, show_names=show_names)
    report = run_dir / "report.html"
    write_text(report, page)
    return report


def _title(run_dir: Path, show_names: bool) -> str:
    """The folder's name; that of a run evaluated on other images has the name of their folder in it."""
    other = run_dir.name.startswith(EVALUATION) and not show_names
    return f"{run_dir.parent.name}, on other images" if other else run_dir.name


def render(
    name: str,
    metrics: Mapping[str, Any],
    tables: Mapping[str, Predictions],
    run_dir: Path,
    *,
    show_names: bool = False,
) -> str:
    """The page as text; arguments are what `write_report` read."""
    try:
        point, dataset = metrics["operating_point"], metrics.get("dataset") or {}
        shown = [split for split in sorted(metrics["splits"], key=_test_first) if split in tables]
        if not shown:
            raise InputError(f"{run_dir} has no predictions for the splits of its metrics; evaluate the run again")
        named = {str(value) for table in tables.values() for value in (*table.filenames, *table.patients)}
        private = None if show_names else named
        plots = _plots(run_dir / "plots")
        splits = []
        for split in shown:
            figures = metrics["splits"][split]
            splits.append(
                {
                    "name": split,
                    "figures": figures,
                    "classification": classification(tables[split], point["threshold"]),
                    "thousand": per_thousand(figures),
                    "subtypes": subtype_rows(figures),
                    "mistakes": mistake_rows(tables, split, point["threshold"], MISTAKES_LISTED, files=show_names),
                    "plots": [plot for plot in plots if plot.name == f"{plot.kind}_{split}"],
                }
            )
        used = {plot.name for split in splits for plot in split["plots"]}
        environment = Environment(
            loader=FileSystemLoader(TEMPLATE.parent),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {"number": number, "span": span, "percent": _percent}
        return environment.get_template(TEMPLATE.name).render(
            name=name,
            show_names=show_names,
            phantom=bool(dataset.get("phantom") or dataset.get("phantoms"))
            or "phantom" in str(dataset.get("name", "")),
            verdict=verdict(metrics, shown[0]),
            warnings=warnings(metrics, shown[0]),
            dataset=dataset,
            test_origin=dataset.get("test_origin"),
            point=point,
            metrics=metrics,
            splits=splits,
            comparison=figure_rows(metrics, shown),
            other_plots=[plot for plot in plots if plot.name not in used],
            configuration=flat(_json(run_dir / "config.json"), private),
            data_summary=flat(counted(dataset), private),
            training=_training(run_dir / "history.csv"),
            parity=_json(run_dir / "parity.json"),
            robustness=_json(run_dir / "robustness.json"),
            shortcuts=_json(run_dir / "shortcuts.json"),
            explanation=_json(run_dir / "explanation.json"),
            lock=verify(run_dir),
        )
    except InputError:
        raise
    except (*JSON_SHAPE_ERRORS, UndefinedError) as error:
        raise InputError(f"a JSON file in {run_dir} is not complete ({error}); evaluate the run again") from error


def _test_first(split: str) -> tuple[int, str]:
    return ({"test": 0, "validation": 1}.get(split, 2), split)


def _percent(value: float | None, digits: int = 1) -> str:
    return "\u2013" if value is None else f"{100 * value:.{digits}f} %"


def _json(path: Path, needed: bool = False) -> dict[str, Any]:
    if not path.exists() and not needed:
        return {}
    content = read_json(path, "evaluate the run first")
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no object; evaluate the run again")
    return content


def _plots(folder: Path) -> list[Plot]:
    found = []
    for path in sorted(folder.glob("[!.]*.png")):
        plot = Plot(path.stem, "", base64.b64encode(path.read_bytes()).decode("ascii"))
        found.append(Plot(plot.name, CAPTIONS.get(plot.kind, ""), plot.data))
    return sorted(found, key=lambda plot: (ORDER.index(plot.kind) if plot.kind in ORDER else len(ORDER), plot.name))


def _training(path: Path) -> dict[str, Any]:
    """Epochs, the best validation AUROC and its epoch, minutes, images a second, from `history.csv` if it is there."""
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        aurocs = [(float(row["validation_auroc"]), row["epoch"]) for row in rows if row.get("validation_auroc")]
        seconds = [float(row["seconds"]) for row in rows if row.get("seconds")]
        speeds = sorted(float(row["images_per_second"]) for row in rows if row.get("images_per_second"))
    except (*JSON_SHAPE_ERRORS, OSError, csv.Error) as error:
        raise InputError(f"{path} is no table of epochs ({error}); remove it, or take it from a copy") from error
    best = max(aurocs, key=lambda pair: pair[0]) if aurocs else (None, "")
    return {
        "epochs": len(rows),
        "best_auroc": best[0],
        "best_epoch": best[1],
        "minutes": sum(seconds) / 60 if seconds else None,
        "images_per_second": speeds[len(speeds) // 2] if speeds else None,
    }
