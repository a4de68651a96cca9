"""`python -m pipeline.compare RUN RUN [RUN ...]` tells whether one run is better than another, or lucky."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError, require

if TYPE_CHECKING:
    from pipeline.evaluation.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Command):
    """Compare runs on the same images: McNemar, DeLong and a paired bootstrap over patients, Holm-corrected."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Two run folders or more; every pair is compared."""
    split: str = "test"
    """Which images: test or validation."""
    resamples: int = 2000
    """Bootstrap resamples of patients behind every interval."""
    seed: int = 0
    """Of the bootstrap."""
    json: Path | None = None
    """Write the comparison to this file as well; - for standard output instead of the table."""

    def __post_init__(self) -> None:
        """Refuse what cannot be compared.

        Raises:
            InputError: fewer than two runs, the same one twice, or no resamples.
        """
        if len(self.runs) < 2:
            raise InputError("give two run folders or more to compare, such as runs/first runs/second")
        if len({path.resolve() for path in self.runs}) < len(self.runs):
            raise InputError("the same run folder is given twice; give different ones")
        require(100 <= self.resamples <= 100_000, "resamples", self.resamples, "from 100 to 100000")
        require(self.seed >= 0, "seed", self.seed, "0 or more")


@dataclass(frozen=True, eq=False)
class Scored:
    """A run as far as it is compared: what it said of a split, in the order of file names, and its threshold."""

    name: str
    table: Predictions
    threshold: float


def compare(runs: list[Scored], resamples: int, seed: int) -> list[dict[str, Any]]:
    """Compare every pair of runs that scored the same images.

    Args:
        runs: two or more, as `load` gives them.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        For each pair: the two `runs`; `auroc` and `accuracy` of each with `difference` (first minus second) and its
        `interval`; `delong` and `mcnemar` with their `p_value` and, corrected over all pairs, `p_holm`.

    Raises:
        InputError: runs were scored on different images, or on images of one class.
    """
    from pipeline.evaluation.metrics import decisions
    from pipeline.evaluation.paired_tests import delong, difference_intervals, holm, mcnemar

    for other in runs[1:]:
        _require_same_images(runs[0], other)
    labels, patients = runs[0].table.labels, runs[0].table.patients
    if min((labels == 0).sum(), (labels == 1).sum()) < 2:
        raise InputError("comparing AUROCs needs two images or more of each class; choose another --split")
    found: list[dict[str, Any]] = []
    for first, second in combinations(runs, 2):
        scores = first.table.probabilities, second.table.probabilities
        called = decisions(scores[0], first.threshold), decisions(scores[1], second.threshold)
        areas, changes = delong(labels, *scores), mcnemar(labels, *called)
        limits = difference_intervals(labels, patients, scores, called, resamples, seed)
        right = [float((each == (labels == 1)).mean()) for each in called]
        found.append(
            {
                "runs": [first.name, second.name],
                "auroc": {
                    "values": [areas.first, areas.second],
                    "difference": areas.difference,
                    "interval": limits["auroc"],
                },
                "accuracy": {"values": right, "difference": right[0] - right[1], "interval": limits["accuracy"]},
                "delong": {"standard_error": areas.standard_error, "p_value": areas.p_value},
                "mcnemar": {
                    "only_first_right": changes.only_first,
                    "only_second_right": changes.only_second,
                    "p_value": changes.p_value,
                },
            }
        )
    for test in ("delong", "mcnemar"):
        for pair, adjusted in zip(found, holm([pair[test]["p_value"] for pair in found]), strict=True):
            pair[test]["p_holm"] = adjusted
    return found


def load(folder: Path, split: str) -> Scored:
    """Read a run's predictions on a split, sorted by file name, and the threshold that its validation chose.

    Raises:
        InputError: the folder is no run, or was not evaluated, or not on this split.
    """
    import numpy as np

    from pipeline.evaluation.predictions import read_csv
    from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, read_json

    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give run folders, such as runs/first")
    tables = read_csv(folder / "predictions.csv")
    if split not in tables:
        raise InputError(f"{folder} has predictions for {', '.join(tables)}, not for {split}; choose another --split")
    metrics = read_json(folder / "metrics.json", "evaluate the run again")
    try:
        threshold = float(metrics["operating_point"]["threshold"])
        if not 0 <= threshold <= 1:
            raise ValueError(f"{threshold} is not in 0 to 1")
    except JSON_SHAPE_ERRORS as error:
        raise InputError(f"{folder}/metrics.json gives no threshold ({error}); evaluate the run again") from error
    table = tables[split]
    order = np.argsort(table.filenames, kind="stable")
    return Scored(str(folder), table.take(order), threshold)


def _require_same_images(first: Scored, other: Scored) -> None:
    here, there = set(first.table.filenames.tolist()), set(other.table.filenames.tolist())
    if here != there:
        names = f"{first.name} and {other.name} were scored on different images"
        raise InputError(
            f"{names} ({len(here)} and {len(there)}, {len(here & there)} in both); compare runs on one source"
        )
    if (first.table.labels != other.table.labels).any():
        raise InputError(
            f"{first.name} and {other.name} have different labels for the same images; compare runs on one source"
        )


def _print_table(pairs: list[dict[str, Any]], split: str, images: int, patients: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]{images:,} {split} images of {patients:,} patients[/bold]")
    for pair in pairs:
        first, second = (escape(Path(name).name) for name in pair["runs"])
        table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="dim")
        for column in ("", "first", "second", "difference", "95 % interval", "p", "p (Holm)"):
            table.add_column(column, justify="left" if not column else "right", no_wrap=True)
        for name, test, label in (("auroc", "delong", "AUROC, DeLong"), ("accuracy", "mcnemar", "accuracy, McNemar")):
            figure, p = pair[name], pair[test]
            limits = "{:+.3f} to {:+.3f}".format(*figure["interval"]) if figure["interval"] else ""
            cells = [f"{value:.4f}" for value in figure["values"]] + [f"{figure['difference']:+.4f}", limits]
            table.add_row(label, *cells, _p(p["p_value"]), _p(p["p_holm"]))
        console.print()
        console.print(f"[bold]{first}[/bold] (first) and [bold]{second}[/bold] (second)")
        console.print(table)
        changed = pair["mcnemar"]
        counts = changed["only_first_right"], changed["only_second_right"]
        console.print("[dim]Right in one alone: {} in the first, {} in the second.[/dim]".format(*counts))
    console.print()
    console.print(
        "Intervals resample patients; DeLong and McNemar count images as independent, so where they disagree, believe "
        "the interval. Each run is judged at its own threshold. Holm's correction is over all pairs."
    )


def _p(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def main(config: CompareConfig) -> None:
    """Load, compare, print."""
    import numpy as np

    from pneumo_tfds.program.files import write_json

    runs = [load(folder, config.split) for folder in config.runs]
    pairs = compare(runs, config.resamples, config.seed)
    table = runs[0].table
    images, patients = len(table), len(np.unique(table.patients))
    content = {
        "split": config.split,
        "images": images,
        "patients": patients,
        "resamples": config.resamples,
        "seed": config.seed,
        "pairs": pairs,
    }
    if config.json == Path("-"):
        json.dump(content, sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
        return
    if config.json is not None:
        write_json(config.json, content)
    _print_table(pairs, config.split, images, patients)


if __name__ == "__main__":
    run(CompareConfig, main, prog="python -m pipeline.compare")
