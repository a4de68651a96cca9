"""The table of epochs, `history.csv`."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

from pipeline.fit import Epoch
from pneumo_tfds.files import write_text


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows as text; empty if the file is not there."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, epoch: Epoch) -> None:
    """Add one epoch; it and later rows of an earlier attempt are replaced."""
    rows = [row for row in read(path) if int(row["epoch"]) < epoch.epoch]
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    writer.writerow({name: round(value, 7) for name, value in vars(epoch).items()})
    write_text(path, text.getvalue())
