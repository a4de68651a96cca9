"""The leaderboard: rows from a search's folder, a table for the terminal, and `leaderboard.csv`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import stdev

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, read_json, write_csv_rows
from pneumo_tfds.program.wording import counted
from tuning.search.journal import REMEDY, Journal
from tuning.search.objective import Objective

NARROW = {"#": 2, "trial": 5, "epochs": 6, "time": 5}  # columns narrower than the 7 characters of a figure
SHOWN_ROWS = 12  # in a terminal; the CSV file has all


@dataclass(frozen=True)
class TrialRow:
    """One trial."""

    trial: int
    """Counted from 1 in the order in which trials begin. The first has the starting values."""
    status: str
    """finished, stopped early (by the median rule), out of time, failed, or running."""
    score: float | None
    """The objective; None while the trial runs and if it failed."""
    epochs: int
    """Epochs trained, including those that it continued from."""
    seconds: float
    values: dict[str, float]
    """Searched hyper-parameters."""
    history: tuple[dict[str, float], ...]
    """Fields of `pipeline.run_folder.history.Epoch`, oldest first."""
    reason: str
    deviation: float | None = None
    """Sample standard deviation of the objective over folds; None for a trial without folds or a score."""

    @property
    def figure(self) -> str:
        """The score as text, with its deviation; empty without a score."""
        spread = "" if self.deviation is None else f" ± {self.deviation:.4f}"
        return "" if self.score is None else f"{self.score:.4f}{spread}"

    @property
    def ended(self) -> bool:
        """False while it runs."""
        return self.status != "running"


def rows(trials: Path, objective: Objective) -> list[TrialRow]:
    """Read the trials of a search, best first; those that failed or still run come last.

    Raises:
        InputError: a file of a trial is damaged.
    """
    found = []
    for folder in sorted(trials.glob("trial_*")):
        journal, record = Journal.read(folder), folder / "trial.json"
        if journal is None or not record.exists():
            continue
        state = read_json(record, REMEDY)
        try:
            ended = state["status"] in ("COMPLETED", "FAILED")
            outcome = "failed" if state["status"] == "FAILED" else journal.outcome if ended else "running"
            last_line = ["", *(state["message"] or "").strip().splitlines()][-1]
            reason = journal.reason or (last_line if outcome == "failed" else "")
            # Not KerasTuner's score: over gRPC it becomes a 32-bit float.
            score = journal.score if state["status"] == "COMPLETED" else None
            number = int(folder.name.removeprefix("trial_")) + 1
        except JSON_SHAPE_ERRORS as error:
            raise InputError(f"{record} is not the record of a trial ({error}); {REMEDY}") from error
        epochs = tuple(journal.epochs)
        spread = stdev(journal.scores) if score is not None and len(journal.scores) > 1 else None
        row = TrialRow(number, outcome, score, len(epochs), journal.seconds, journal.values, epochs, reason, spread)
        found.append(row)
    sign = -1 if objective.direction == "max" else 1
    return sorted(found, key=lambda row: (row.score is None, sign * (row.score or 0.0), row.trial))


def terminal_table(found: list[TrialRow], objective: Objective) -> Table:
    """Return the table for a terminal, with the best trials."""
    drawn = Table(title="Leaderboard", title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False)
    names = list(found[0].values) if found else []
    for heading in ("#", "trial", *(name.replace("_", " ") for name in (objective.name, *names)), "epochs", "time", ""):
        # Figures stay whole on a narrow terminal; headings break at their spaces.
        width = NARROW.get(heading) or max((7, *map(len, heading.split()))) if heading else 0
        drawn.add_column(heading, justify="right" if heading else "left", min_width=width)
    for place, row in enumerate(found[:SHOWN_ROWS], start=1):
        notes = ["start"] if row.trial == 1 else []
        if row.status != "finished":
            notes.append(row.status)
        drawn.add_row(
            str(place) if row.score is not None else "",
            str(row.trial),
            row.figure,
            *(f"{row.values[name]:.2g}" for name in names),
            str(row.epochs),
            f"{row.seconds:.0f} s",
            ", ".join(notes),
            style="bold" if place == 1 and row.score is not None else None,
        )
    if len(found) > SHOWN_ROWS:
        drawn.caption = f"{len(found) - SHOWN_ROWS} more in leaderboard.csv"
    return drawn


def line(found: list[TrialRow], objective: Objective, trial: int) -> str:
    """Return one line for a log: how a trial ended, and the best one so far."""
    last, best = next(row for row in found if row.trial == trial), found[0]
    values = ", ".join(f"{name} {value:.3g}" for name, value in last.values.items())
    result = f"failed: {last.reason}" if last.score is None else f"{objective.name} {last.figure}"
    note = f" ({last.status})" if last.status not in ("finished", "failed") else ""
    so_far = "" if best.score is None else f"; best so far {best.score:.4f} (trial {best.trial})"
    return (
        f"trial {last.trial}: {result}{note}, {counted(last.epochs, 'epoch')}, {last.seconds:.0f} s; {values}{so_far}"
    )


def write_csv(found: list[TrialRow], objective: Objective, path: Path) -> None:
    """Write `leaderboard.csv`, best trial first."""
    names = list(found[0].values) if found else []
    columns = ["place", "trial", "status", objective.name, "deviation", *names, "epochs", "seconds", "reason"]
    lines: list[list[object]] = [list[object](columns)]
    for place, row in enumerate(found, start=1):
        ranked, score = ("", "") if row.score is None else (place, f"{row.score:.6f}")
        spread = "" if row.deviation is None else f"{row.deviation:.6f}"
        values = [f"{row.values[name]:.6g}" for name in names]
        lines.append(
            [ranked, row.trial, row.status, score, spread, *values, row.epochs, f"{row.seconds:.1f}", row.reason]
        )
    write_csv_rows(path, lines)
