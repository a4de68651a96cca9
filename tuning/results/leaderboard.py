"""Which trial is best: rows from a search's folder, a table for people, `leaderboard.csv` for machines."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, read_json, write_text
from tuning.search import journal
from tuning.search.objective import Objective

FIGURE = {"#": 2, "trial": 5, "epochs": 6, "time": 5}  # narrower than the 7 characters of a figure
SHOWN = 12  # rows of the table in a terminal; the CSV has all


@dataclass(frozen=True)
class Row:
    """One trial."""

    trial: int
    """Counted from 1, in the order they were begun. The first has the starting values."""
    status: str
    """finished, hopeless, out of time, failed, or running."""
    score: float | None
    """The objective; None while it runs and if it failed."""
    epochs: int
    """It has behind it, with those it went on from."""
    seconds: float
    values: dict[str, float]
    """Searched hyper-parameters."""
    curve: tuple[float, ...]
    """Validation AUROC by epoch."""
    reason: str


def rows(trials: Path, objective: Objective) -> list[Row]:
    """Read the trials of a search, best first; those that failed or still run come last."""
    found = []
    for folder in sorted(trials.glob("trial_*")):
        account, record = journal.read(folder), folder / "trial.json"
        if account is None or not record.exists():
            continue
        state = read_json(record, journal.REMEDY)
        try:
            ended = state["status"] in ("COMPLETED", "FAILED")
            outcome = "failed" if state["status"] == "FAILED" else account.outcome if ended else "running"
            reason = account.reason or (_last_line(state["message"]) if outcome == "failed" else "")
            # Not KerasTuner's score: over gRPC it becomes a 32-bit float.
            score = account.score if state["status"] == "COMPLETED" else None
            curve = tuple(epoch["validation_auroc"] for epoch in account.epochs)
            number = int(folder.name.removeprefix("trial_")) + 1
        except JSON_SHAPE_ERRORS as error:
            raise InputError(f"{record} is not what a search writes ({error}); {journal.REMEDY}") from error
        found.append(Row(number, outcome, score, len(account.epochs), account.seconds, account.values, curve, reason))
    sign = -1 if objective.direction == "max" else 1
    return sorted(found, key=lambda row: (row.score is None, sign * (row.score or 0.0), row.trial))


def table(found: list[Row], objective: Objective, limit: int = SHOWN) -> Table:
    """Draw the table."""
    drawn = Table(title="Leaderboard", title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False)
    names = list(found[0].values) if found else []
    headings = ["#", "trial", objective.name.replace("_", " "), *(name.replace("_", " ") for name in names)]
    for heading in [*headings, "epochs", "time", ""]:
        # Figures stay whole on a narrow terminal; headings break at their spaces.
        width = FIGURE.get(heading) or max((7, *map(len, heading.split()))) if heading else 0
        drawn.add_column(heading, justify="right" if heading else "left", min_width=width)
    for place, row in enumerate(found[:limit], start=1):
        note = "start" if row.trial == 1 else ""
        drawn.add_row(
            str(place) if row.score is not None else "",
            str(row.trial),
            "" if row.score is None else f"{row.score:.4f}",
            *(f"{row.values[name]:.2g}" for name in names),
            str(row.epochs),
            f"{row.seconds:.0f} s",
            ", ".join(filter(None, (note, row.status if row.status != "finished" else ""))),
            style="bold" if place == 1 and row.score is not None else None,
        )
    if len(found) > limit:
        drawn.caption = f"{len(found) - limit} more in leaderboard.csv"
    return drawn


def line(found: list[Row], objective: Objective, trial: int | None = None) -> str:
    """Say in one line how a trial (None: the one begun last) ended, for logs."""
    last, best = max(found, key=lambda row: row.trial), found[0]
    last = next((row for row in found if row.trial == trial), last)
    values = ", ".join(f"{name} {value:.3g}" for name, value in last.values.items())
    result = f"failed: {last.reason}" if last.score is None else f"{objective.name} {last.score:.4f}"
    note = f" ({last.status})" if last.status not in ("finished", "failed") else ""
    so_far = "" if best.score is None else f"; best so far {best.score:.4f} (trial {best.trial})"
    return f"trial {last.trial}: {result}{note}, {last.epochs} epochs, {last.seconds:.0f} s; {values}{so_far}"


def write_csv(found: list[Row], objective: Objective, path: Path) -> None:
    """Write `leaderboard.csv`, best first: place, trial, status, objective, hyper-parameters, the rest."""
    names = list(found[0].values) if found else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["place", "trial", "status", objective.name, *names, "epochs", "seconds", "reason"])
    for place, row in enumerate(found, start=1):
        ranked: list[Any] = ["", ""] if row.score is None else [place, f"{row.score:.6f}"]
        values = [f"{row.values[name]:.6g}" for name in names]
        writer.writerow(
            [ranked[0], row.trial, row.status, ranked[1], *values, row.epochs, f"{row.seconds:.1f}", row.reason]
        )
    write_text(path, text.getvalue())


def _last_line(message: str | None) -> str:
    lines = (message or "").strip().splitlines()
    return lines[-1] if lines else ""
