"""The table of predictions: what a model said about each image of a split, on disk as `predictions.csv`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replacing
from pneumo_tfds.sources.inventory import LABELS

CLASSES = LABELS
POSITIVE = 1
COLUMNS = ("split", "filename", "patient", "subtype", "label", "probability")


@dataclass(frozen=True, eq=False)
class Predictions:
    """One split's images and what the model said about them; row i of every array is the same image."""

    filenames: npt.NDArray[np.str_]
    """[n], each once."""
    patients: npt.NDArray[np.str_]
    """[n], the patient each image is of; images of one patient are not independent of each other."""
    subtypes: npt.NDArray[np.str_]
    """[n], `normal`, `bacteria`, `virus` or `unknown`."""
    labels: npt.NDArray[np.int64]
    """[n], 0 NORMAL or 1 PNEUMONIA."""
    probabilities: npt.NDArray[np.float64]
    """[n], P(PNEUMONIA), 0 to 1. Sigmoids taken in float64 keep apart what float32 rounds to 1."""

    def __post_init__(self) -> None:
        """Bring the arrays to their dtypes and refuse a table that figures cannot be computed from.

        Raises:
            InputError: no images, arrays of different lengths, a file name twice, a label or probability out of range.
        """
        for name in ("filenames", "patients", "subtypes"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.str_))
        labels = np.asarray(self.labels)
        probabilities = np.asarray(self.probabilities, dtype=np.float64)
        sizes = {a.shape for a in (self.filenames, self.patients, self.subtypes, labels, probabilities)}
        if len(sizes) != 1 or labels.ndim != 1:
            raise InputError(
                f"the columns of a predictions table must be one-dimensional and equally long, not {sizes}"
            )
        if not len(labels):
            raise InputError("a predictions table needs at least one image; this split has none")
        if not np.isin(labels, (0, 1)).all():
            raise InputError("labels must be 0 (NORMAL) or 1 (PNEUMONIA)")
        good = np.isfinite(probabilities) & (probabilities >= 0) & (probabilities <= 1)
        if not good.all():
            row = int(np.argmin(good))
            raise InputError(f"the probability of {self.filenames[row]} is {probabilities[row]}, not between 0 and 1")
        names, counts = np.unique(self.filenames, return_counts=True)
        if counts.max() > 1:
            raise InputError(f"{names[counts.argmax()]} is in a predictions table twice; each image is scored once")
        object.__setattr__(self, "labels", labels.astype(np.int64))
        object.__setattr__(self, "probabilities", probabilities)

    def __len__(self) -> int:
        """How many images."""
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Predictions:
        """The images at `rows`, indices or a mask [n]."""
        columns = self.filenames[rows], self.patients[rows], self.subtypes[rows]
        return Predictions(*columns, self.labels[rows], self.probabilities[rows])

    def with_probabilities(self, probabilities: npt.ArrayLike) -> Predictions:
        """The same images with other probabilities [n]."""
        return replace(self, probabilities=np.asarray(probabilities, dtype=np.float64))


def as_written(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The probabilities as `predictions.csv` holds them, so that figures can be recomputed from the file exactly."""
    return np.array([float(_text(p)) for p in probabilities], dtype=np.float64)


def row_numbers(predictions: Mapping[str, Predictions], split: str) -> npt.NDArray[np.int64]:
    """The row of each image of `split` in `predictions.csv`, int64 [n]; the first row under the header is 1.

    Rows name images where patients' file names must not be shown.
    """
    before = 0
    for name, table in predictions.items():
        if name == split:
            return np.arange(before + 1, before + 1 + len(table), dtype=np.int64)
        before += len(table)
    raise InputError(
        f"there are no predictions for the split {split}; there are for {', '.join(predictions) or 'none'}"
    )


def write_csv(path: Path, predictions: Mapping[str, Predictions]) -> None:
    """Replace `path` by the table of all splits, in their order, probabilities with 9 significant digits."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for split, table in predictions.items():
            columns = (table.filenames, table.patients, table.subtypes, table.labels, table.probabilities)
            for filename, patient, subtype, label, probability in zip(*columns, strict=True):
                writer.writerow((split, filename, patient, subtype, CLASSES[label], _text(probability)))


def read_csv(path: Path) -> dict[str, Predictions]:
    """Read what `write_csv` wrote, splits in the order of their first row.

    Raises:
        InputError: the file is missing, or a column or value is not what a predictions table holds.
    """
    rows: dict[str, list[tuple[str, str, str, int, float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path} lacks the column {missing[0]}; evaluate the run again to rewrite it")
            for row in reader:
                rows.setdefault(row["split"], []).append(_values(row, f"{path}, line {reader.line_num}"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; evaluate the run first") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file in UTF-8; evaluate the run again to rewrite it") from error
    if not rows:
        raise InputError(f"{path} has no rows; evaluate the run again")
    return {split: _table(values) for split, values in rows.items()}


def _text(probability: float) -> str:
    return f"{probability:.9g}"


def _values(row: dict[str, str], where: str) -> tuple[str, str, str, int, float]:
    if None in row.values() or row["label"] not in CLASSES:
        raise InputError(f"{where}: the label must be one of {', '.join(CLASSES)}, and no column may be empty")
    try:
        probability = float(row["probability"])
    except ValueError as error:
        raise InputError(f"{where}: the probability {row['probability']!r} is not a number") from error
    return row["filename"], row["patient"], row["subtype"], CLASSES.index(row["label"]), probability


def _table(values: list[tuple[str, str, str, int, float]]) -> Predictions:
    filenames, patients, subtypes, labels, probabilities = zip(*values, strict=True)
    return Predictions(
        np.array(filenames), np.array(patients), np.array(subtypes), np.array(labels), np.array(probabilities)
    )
