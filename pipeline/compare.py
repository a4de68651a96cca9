"""Compare runs on the same images: `python -m pipeline.compare RUN RUN [RUN ...]`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from annotated_types import Ge, Le

from pneumo_tfds.program.bounds import Bounded
from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.overwriting import refuse_overwriting

if TYPE_CHECKING:
    from pipeline.evaluation.predictions import Predictions
    from pipeline.run_folder.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Compare(Bounded, Command):
    """Compare runs on the same images: McNemar, DeLong and a paired bootstrap over patients, Holm-corrected.

    RUN/evaluation-NAME, the evaluation of a run on another source, can stand in place of a run.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Two or more run folders, or folders of their evaluations on another source. Every pair is compared."""
    split: str | None = None
    """Split to compare on, such as validation. Default: test, or the only one that a folder has."""
    resamples: Annotated[int, Ge(100), Le(100_000)] = 2000
    """Bootstrap resamples of patients behind every interval."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the bootstrap."""
    json: Path | None = None
    """Also write the comparison to this file. - writes it to standard output instead of the table."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.runs) < 2:
            raise InputError("give two run folders or more to compare, such as runs/first runs/second")
        if len({path.resolve() for path in self.runs}) < len(self.runs):
            raise InputError("the same run folder is given twice; give different ones")


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """A run's predictions on a split, in the order of file names, and its threshold."""

    name: str
    split: str
    table: Predictions
    threshold: float
    manifest: str | None = None
    """SHA-256 of the names and contents of the images, where these are all of another source."""


def compare(runs: list[ScoredRun], resamples: int, seed: int) -> list[dict[str, Any]]:
    """Compare every pair of runs that scored the same images.

    Returns:
        For each pair: the two `runs`; `auroc` and `accuracy` of each with `difference` (first minus second) and its
        `interval`; `delong` and `mcnemar` with their `p_value` and, corrected over all pairs, `p_holm`.

    Raises:
        InputError: the runs were scored on different images, or on fewer than two images of a class.
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
        areas = delong(labels, *scores)
        limits = difference_intervals(labels, patients, scores, called, resamples, seed)
        right = [float((each == (labels == 1)).mean()) for each in called]
        found.append(
            {
                "runs": [first.name, second.name],
                **{
                    figure: {"values": values, "difference": values[0] - values[1], "interval": limits[figure]}
                    for figure, values in (("auroc", [areas.first, areas.second]), ("accuracy", right))
                },
                "delong": {"standard_error": areas.standard_error, "p_value": areas.p_value},
                "mcnemar": mcnemar(labels, *called)._asdict(),
            }
        )
    for test in ("delong", "mcnemar"):
        for pair, adjusted in zip(found, holm([pair[test]["p_value"] for pair in found]), strict=True):
            pair[test]["p_holm"] = adjusted
    return found


def load(folder: RunFolder, split: str | None = None) -> ScoredRun:
    """Read a run's predictions on a split, sorted by file name, and its threshold.

    Without a split it is test, or the only one that there is.

    Raises:
        InputError: the folder is not a run folder, or was not evaluated, or not on this split.
    """
    from pipeline.evaluation.predictions import read_csv
    from pipeline.evaluation.scoring import EXTERNAL, Decision

    if not folder.path.is_dir():
        raise InputError(f"{folder.path} is not a folder; give run folders, such as runs/first")
    metrics = folder.read_json(folder.metrics) if folder.predictions.exists() else {}
    tables = read_csv(folder.predictions, metrics)
    if split is None:
        split = next(iter(tables)) if len(tables) == 1 else "test"
    if split not in tables:
        others = ", ".join(tables)
        raise InputError(f"{folder.path} has predictions for {others}, not for {split}; choose another --split")
    threshold = Decision.from_json(metrics, folder.metrics).operating_point.threshold
    table = tables[split]
    table = table.take(table.filenames.argsort(kind="stable"))
    manifest = metrics.get("dataset", {}).get("manifest_sha256") if split == EXTERNAL else None
    return ScoredRun(str(folder.path), split, table, threshold, manifest)


def _require_same_images(first: ScoredRun, other: ScoredRun) -> None:
    here, there = set(first.table.filenames.tolist()), set(other.table.filenames.tolist())
    runs = f"{first.name} and {other.name}"
    if here != there:
        counts = f"{len(here)} and {len(there)}, {len(here & there)} in both"
        raise InputError(f"{runs} were scored on different images ({counts}); compare runs on one source")
    if (first.table.labels != other.table.labels).any():
        raise InputError(f"{runs} have different labels for the same images; compare runs on one source")
    other_files = None not in (first.manifest, other.manifest) and first.manifest != other.manifest
    if other_files or (first.table.patients != other.table.patients).any():
        raise InputError(f"{runs} were scored on different images of the same names; compare runs on one source")


def _short(run: Path) -> str:
    """Return the last name of a run's folder; for an evaluation of a run on other images `RUN/evaluation-NAME`."""
    return "/".join(run.parts[-2:]) if run.name.startswith("evaluation-") else run.name


def _print_table(pairs: list[dict[str, Any]], split: str, images: int, patients: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from pipeline.report.report_tables import number

    console = Console(highlight=False)
    console.print(f"[bold]{images:,} {split} images of {patients:,} patients[/bold]")
    for pair in pairs:
        first, second = (escape(_short(Path(name))) for name in pair["runs"])
        table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="dim")
        for column in ("", "first", "second", "difference", "95 % interval", "p", "p (Holm)"):
            table.add_column(column, justify="left" if not column else "right", no_wrap=True)
        for name, test, label in (("auroc", "delong", "AUROC, DeLong"), ("accuracy", "mcnemar", "accuracy, McNemar")):
            figure, p_values = pair[name], (pair[test]["p_value"], pair[test]["p_holm"])
            limits = "{:+.3f} to {:+.3f}".format(*figure["interval"]) if figure["interval"] else ""
            cells = [number(value, 4) for value in figure["values"]] + [f"{figure['difference']:+.4f}", limits]
            table.add_row(label, *cells, *("<0.0001" if p < 0.0001 else f"{p:.4f}" for p in p_values))
        console.print(f"\n[bold]{first}[/bold] (first) and [bold]{second}[/bold] (second)")
        console.print(table)
        only = "{only_first_right} in the first, {only_second_right} in the second".format(**pair["mcnemar"])
        console.print(f"[dim]Correct in one run only: {only}.[/dim]")
    console.print(
        "\nIntervals resample patients. DeLong and McNemar count images as independent, so where they disagree, rely "
        "on the interval. Each run has its own threshold. Holm's correction is over all pairs."
    )


def main(command: Compare) -> None:
    """Load the runs, compare them and print or write the result."""
    from pipeline.run_folder.folder import RunFolder
    from pneumo_tfds.program.files import write_json

    folders = [RunFolder(path) for path in command.runs]
    refuse_overwriting({"--json": command.json}, [file for one in folders for file in (one.metrics, one.predictions)])
    runs = [load(folder, command.split) for folder in folders]
    table = runs[0].table
    content: dict[str, Any] = {
        "split": runs[0].split,
        "images": len(table),
        "patients": len(set(table.patients.tolist())),
        "resamples": command.resamples,
        "seed": command.seed,
        "pairs": compare(runs, command.resamples, command.seed),
    }
    if command.json == Path("-"):
        print(json.dumps(content, indent=2, allow_nan=False))
        return
    if command.json is not None:
        write_json(command.json, content)
    _print_table(content["pairs"], runs[0].split, content["images"], content["patients"])


if __name__ == "__main__":
    run(Compare, main, prog="python -m pipeline.compare")
