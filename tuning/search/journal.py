"""The journal of one trial: `journal.json` in its folder, replaced after every epoch.

KerasTuner's own `trial.json` holds the score. The journal holds everything else. The process that trains the trial
writes it; the leaderboard, the median rule and the page read it, whether that process is this one or a worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import read_json, write_json

FILE = "journal.json"
REMEDY = "take it from a copy, or begin a new search in another --run-dir"
Outcome = Literal["running", "finished", "stopped early", "out of time", "failed"]


@dataclass
class Journal:
    """What one trial has done so far."""

    values: dict[str, float]
    """Searched hyper-parameters."""
    epochs: list[dict[str, float]] = field(default_factory=list)
    """Fields of `pipeline.run_folder.history.Epoch`, oldest first; of several folds one after the other."""
    seconds: float = 0.0
    """Duration of the trial, over all attempts."""
    outcome: Outcome = "running"
    score: float | None = None
    """The objective."""
    scores: tuple[float, ...] = ()
    """The objective in each fold; `score` is their mean."""
    stopped_after: int = 0
    """Epochs of each network of a trial that was stopped early."""
    reason: str = ""
    """Why the trial failed, in one line."""
    inherited: int = 0
    """Epochs that an earlier trial of the bracket trained (hyperband)."""

    def write(self, folder: Path) -> None:
        """Replace the journal in the trial's folder."""
        write_json(folder / FILE, asdict(self))

    @staticmethod
    def read(folder: Path) -> Journal | None:
        """Read the journal in a trial's folder; return None if the trial has not begun.

        Raises:
            InputError: the file is damaged.
        """
        from pydantic import TypeAdapter

        path = folder / FILE
        if not path.exists():
            return None
        content = read_json(path, REMEDY)
        if isinstance(content, dict) and content.get("outcome") == "hopeless":
            content["outcome"] = "stopped early"  # its name before version 0.1.0
        try:
            return TypeAdapter(Journal).validate_python(content)
        except ValueError as error:
            raise InputError(f"{path} is not the journal of a trial ({reason_of(error):.200}); {REMEDY}") from error


def read_journals(trials: Path, other_than: Path | None = None) -> Iterator[Journal]:
    """Read the journals of all trials in a folder of trials, but for the one in the folder `other_than`."""
    for folder in sorted(trials.glob("trial_*")):
        if folder != other_than and (journal := Journal.read(folder)):
            yield journal
