"""What a trial wrote of itself, epoch by epoch: `journal.json` in its folder.

KerasTuner's `trial.json` has the score; this has the rest, is written by whichever process trains the trial, and is
what the leaderboard, the stopping rule and the page read. So one machine and a cluster look the same to them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import read_json, write_json

FILE = "journal.json"
REMEDY = "take it from a copy, or begin a new search in another --run-dir"
Outcome = Literal["running", "finished", "hopeless", "out of time", "failed"]


@dataclass
class Journal:
    """One trial's own account."""

    values: dict[str, float]
    """Searched hyper-parameters."""
    epochs: list[dict[str, float]] = field(default_factory=list)
    """Fields of `pipeline.run_folder.history.Epoch`, oldest first."""
    seconds: float = 0.0
    """From the trial's begin to its end, over all attempts."""
    training_seconds: float = 0.0
    """The part of it spent inside `pipeline.training.fit`."""
    outcome: Outcome = "running"
    score: float | None = None
    """The objective."""
    reason: str = ""
    """Why it failed, in one line."""
    inherited: int = 0
    """Epochs that an earlier trial of the bracket trained (hyperband)."""

    def write(self, folder: Path) -> None:
        """Write it to the trial's folder, at once."""
        write_json(folder / FILE, asdict(self))


@functools.cache
def _adapter() -> TypeAdapter[Journal]:
    return TypeAdapter(Journal)


def read(folder: Path) -> Journal | None:
    """Read a trial's journal; None if it has not begun."""
    path = folder / FILE
    if not path.exists():
        return None
    content = read_json(path, REMEDY)
    try:
        return _adapter().validate_python(content)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is no trial's journal ({reason:.200}); {REMEDY}") from error


def others(folder: Path) -> Iterator[Journal]:
    """Read the journals of all trials beside the one in `folder`."""
    for neighbour in sorted(folder.parent.glob("trial_*")):
        if neighbour != folder and (journal := read(neighbour)):
            yield journal
