"""Last stage of a run: score it on labelled sets of other places too. Nothing is chosen by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.report.report_page import write_report
from pipeline.report.report_tables import in_brackets, number
from pipeline.run_folder.folder import RunFolder
from pipeline.stages.evaluate_run import evaluate_elsewhere
from pipeline.stages.examine import extend
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted

ELSEWHERE = "elsewhere"
"""Its rows in `robustness.json`."""
FIGURES = ("auroc", "sensitivity", "specificity")
KEPT = ("n", "patients", *FIGURES)
"""What `robustness.json` has of the figures of another source, beside the intervals of `FIGURES`."""


def also_judge(run: RunFolder, sources: Sequence[Path], *, show_names: bool = False) -> None:
    """Score a finished run on each source as `evaluate_elsewhere` does; add rows to `robustness.json` and the report.

    How many of the images the run was trained on is printed first. A source that can no longer be read is named and
    gets a row that says so, because the run itself is finished.
    """
    rows: list[dict[str, Any]] = []
    for place, source in enumerate(sources, start=1):
        try:
            other = evaluate_elsewhere(run.path, source, show_names=show_names)
        except InputError as error:
            print(f"warning: --also-judge {source}: not scored: {error}", flush=True)
            rows.append({"source": place, "not_scored": True})
            continue
        metrics = other.read_json(other.metrics)
        figures, overlap = metrics["splits"]["external"], metrics["external"]["overlap"]
        rows.append(
            {
                "source": place,
                **{name: figures[name] for name in KEPT},
                "intervals": {name: figures["intervals"][name] for name in FIGURES},
                "overlap": {kind: overlap[kind] for kind in ("unknown", "images", "copies") if kind in overlap},
            }
        )
        said = ", ".join(f"{name} {number(figures[name])}{in_brackets(figures['intervals'][name])}" for name in FIGURES)
        print(f"also judged {source} ({figures['n']:,} images): {said}; report: {other.report}", flush=True)
    if rows:
        if left := _left_out(run.read_json_if_there(run.robustness).get(ELSEWHERE, ()), rows):
            print(
                f"note: the report has these in place of {counted(left, 'source')} judged before; to have all of them "
                "there, name all of them with one --also-judge",
                flush=True,
            )
        extend(run.robustness, **{ELSEWHERE: rows})
        write_report(run, show_names=show_names)


def _left_out(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> int:
    """Return how many sources with figures are no longer among the rows, which name none."""
    known = [{**row, "source": None} for row in now]
    return sum("not_scored" not in row and {**row, "source": None} not in known for row in before)
