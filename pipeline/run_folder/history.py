"""The table of epochs, `history.csv`."""

from __future__ import annotations

import csv
import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import UNFIT, write_text


@dataclass(frozen=True)
class Epoch:
    """One row of `history.csv`."""

    epoch: int
    """Counted from 1."""
    loss: float
    """Mean training loss with penalties, on augmented images."""
    learning_rate: float
    """After the epoch's last step."""
    validation_loss: float
    """Cross-entropy of the kept weights, without penalties, nats."""
    validation_auroc: float
    """AUROC of the kept weights."""
    validation_accuracy: float
    """At a probability of one half."""
    seconds: float
    """The epoch's training steps and validation."""
    images_per_second: float
    """Of the training steps alone; the first epoch includes compilation."""
    waiting: float
    """Part of the training time in which the step waited for its input."""


COLUMNS = [field.name for field in dataclasses.fields(Epoch)]


def read(path: Path) -> list[Epoch]:
    """Read the epochs; empty if the file does not exist.

    Raises:
        InputError: the file is not a valid table of epochs.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            if set(row) != set(COLUMNS) or int(row["epoch"]) < 1:
                raise ValueError(f"a line needs {', '.join(COLUMNS)}")
        return [Epoch(int(row["epoch"]), *(float(row[name]) for name in COLUMNS[1:])) for row in rows]
    except (*UNFIT, OSError, csv.Error) as error:
        raise InputError(
            f"{path} is not a valid table of epochs ({error}); remove it, or take it from a copy"
        ) from error


def append(path: Path, epoch: Epoch) -> None:
    """Add one epoch; it and later rows of an earlier attempt are replaced."""
    rows = [row for row in read(path) if row.epoch < epoch.epoch]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in (*rows, epoch):
        writer.writerow({name: round(value, 7) for name, value in vars(row).items()})
    write_text(path, text.getvalue())
