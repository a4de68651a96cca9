"""The table of epochs, `history.csv`."""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, write_csv_rows


@dataclass(frozen=True)
class Epoch:
    """One row of `history.csv`."""

    epoch: int
    """Counted from 1."""
    loss: float
    """Mean training loss with penalties, on augmented images."""
    learning_rate: float
    """After the last step of the epoch."""
    validation_loss: float
    """Cross-entropy of the averaged weights, without penalties, nats."""
    validation_auroc: float
    """AUROC of the averaged weights."""
    validation_accuracy: float
    """At a probability of one half."""
    seconds: float
    """Duration of the training steps and the validation."""
    images_per_second: float
    """In the training steps alone; the first epoch includes compilation."""
    waiting: float
    """Fraction of the training time spent waiting for input."""


COLUMNS = [field.name for field in fields(Epoch)]


def read(path: Path) -> list[Epoch]:
    """Read the epochs; none if the file does not exist.

    Raises:
        InputError: the file is not a table of epochs.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_epoch(row) for row in csv.DictReader(file)]
    except (*JSON_SHAPE_ERRORS, OSError, csv.Error) as error:
        raise InputError(
            f"{path} is not a table of epochs ({error}); remove it, or restore it from a backup"
        ) from error


def _epoch(row: dict[str, str]) -> Epoch:
    if set(row) != set(COLUMNS) or int(row["epoch"]) < 1:
        raise ValueError(f"a line needs {', '.join(COLUMNS)}")
    return Epoch(int(row.pop("epoch")), **{name: float(value) for name, value in row.items()})


def append(path: Path, epoch: Epoch) -> None:
    """Add one epoch, in place of it and later ones of an earlier attempt."""
    epochs = [*(row for row in read(path) if row.epoch < epoch.epoch), epoch]
    write_csv_rows(path, [COLUMNS, *([round(value, 7) for value in astuple(row)] for row in epochs)])
