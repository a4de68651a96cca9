"""Table of predictions: what a model answered for each image of a split, on disk as `predictions.csv`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import replacing, sha256_of
from pneumo_tfds.sources.inventory import LABELS

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]
Images = npt.NDArray[np.uint8]
Predict = Callable[[Images], Floats]
"""A function from uint8 [n, S, S, 1] to P(PNEUMONIA), float [n]."""

CLASSES = LABELS
POSITIVE = 1
COLUMNS = ("split", "filename", "patient", "subtype", "label", "probability")
FAMILIARITY = "familiarity"
"""A further column, empty where the model has none; earlier versions did not write it."""
DIGEST = "predictions_sha256"
"""Key of `metrics.json`: SHA-256 of `predictions.csv`."""
VIRAL = "viral"
"""A further column, written only of a model that tells bacteria from viruses."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """The images of one split and their predictions; row i of every array is the same image."""

    filenames: Names
    """[n], all different."""
    patients: Names
    """[n], the patient of each image; images of one patient are not independent of each other."""
    subtypes: Names
    """[n], `normal`, `bacteria`, `virus` or `unknown`."""
    labels: Labels
    """[n], 0 NORMAL or 1 PNEUMONIA."""
    probabilities: Floats
    """[n], P(PNEUMONIA), 0 to 1. A float64 sigmoid distinguishes values that float32 rounds to 1."""
    familiarity: Floats = field(default_factory=lambda: np.empty(0))
    """[n], 0 (unlike the training images) to 1, or NaN where it is not known; NaN for all if it is not given."""
    viral: Floats = field(default_factory=lambda: np.empty(0))
    """[n], P(VIRUS) of a pneumonia, or NaN where the model does not tell; NaN for all if it is not given."""

    def __post_init__(self) -> None:
        """Convert the arrays to their dtypes and check that figures can be computed from them.

        Raises:
            InputError: there are no images, the arrays differ in length, a file name occurs twice, or a label or
                probability is out of range.
        """
        for name in ("filenames", "patients", "subtypes"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.str_))
        labels = np.asarray(self.labels)
        probabilities = np.asarray(self.probabilities, dtype=np.float64)
        for name in (FAMILIARITY, VIRAL):
            column = np.asarray(getattr(self, name), dtype=np.float64)
            object.__setattr__(self, name, column if column.size else np.full(labels.shape, np.nan))
        columns = self.filenames, self.patients, self.subtypes, labels, probabilities, self.familiarity, self.viral
        sizes = {column.shape for column in columns}
        if len(sizes) != 1 or labels.ndim != 1:
            raise InputError(
                f"the columns of a predictions table must be one-dimensional and equally long, not {sizes}"
            )
        if not len(labels):
            raise InputError("a predictions table needs at least one image; this split has none")
        if not np.isin(labels, (0, 1)).all():
            raise InputError("labels must be 0 (NORMAL) or 1 (PNEUMONIA)")
        good = (probabilities >= 0) & (probabilities <= 1)  # False for NaN
        if not good.all():
            row = int(np.argmin(good))
            raise InputError(f"the probability of {self.filenames[row]} is {probabilities[row]}, not between 0 and 1")
        names, counts = np.unique(self.filenames, return_counts=True)
        if counts.max() > 1:
            raise InputError(f"{names[counts.argmax()]} is in a predictions table twice; each image is scored once")
        object.__setattr__(self, "labels", labels.astype(np.int64))
        object.__setattr__(self, "probabilities", probabilities)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def tells_subtypes(self) -> bool:
        """Whether the model tells bacteria from viruses."""
        return not np.isnan(self.viral).all()

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Predictions:
        """Return the images at `rows`, which are indices or a mask [n]."""
        return Predictions(**{name: column[rows] for name, column in vars(self).items()})

    def with_probabilities(self, probabilities: npt.ArrayLike) -> Predictions:
        """Return the same images with other probabilities [n]."""
        return replace(self, probabilities=np.asarray(probabilities, dtype=np.float64))


def joined(tables: Iterable[Predictions]) -> Predictions:
    """Return all rows in one table; no file name may be in two of them."""
    return Predictions(*map(np.concatenate, zip(*(vars(table).values() for table in tables), strict=True)))


def as_written(probabilities: Floats) -> Floats:
    """Round probabilities as `predictions.csv` does, so that figures can be recomputed from the file exactly."""
    return np.array([float(_text(p)) for p in probabilities], dtype=np.float64)


def write_csv(path: Path, predictions: Mapping[str, Predictions]) -> None:
    """Write the table of all splits, in their order, to `path`; probabilities have 9 significant digits."""
    further = [FAMILIARITY]
    if any(table.tells_subtypes for table in predictions.values()):
        further.append(VIRAL)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, *further))
        for split, table in predictions.items():
            for *names, label, probability, familiarity, viral in zip(*vars(table).values(), strict=True):
                known = ["" if np.isnan(value) else _text(value) for value in (familiarity, viral)]
                writer.writerow((split, *names, CLASSES[label], _text(probability), *known[: len(further)]))


def read_csv(path: Path, metrics: Mapping[str, Any] | None = None) -> dict[str, Predictions]:
    """Read the tables that `write_csv` wrote, splits in the order of their first row.

    Args:
        path: the file.
        metrics: content of the `metrics.json` beside it; if that holds the file's digest, the file must have it.

    Raises:
        InputError: the file is missing, is not the one of `metrics`, or a column or value is not valid.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {}
    try:
        if metrics and DIGEST in metrics and metrics[DIGEST] != sha256_of(path):
            raise InputError(f"{path} has changed since metrics.json was made from it; evaluate the run again")
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path} lacks the column {missing[0]}; evaluate the run again to rewrite it")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row.values() or row["label"] not in CLASSES:
                    labels = ", ".join(CLASSES)
                    raise InputError(f"{where}: the label must be one of {labels}, and no column may be empty")
                try:
                    further = [float(row.get(name) or "nan") for name in (FAMILIARITY, VIRAL)]
                    numbers = float(row["probability"]), *further
                except ValueError as error:
                    found = f"{row['probability']!r}, familiarity {row.get(FAMILIARITY)!r} or viral {row.get(VIRAL)!r}"
                    raise InputError(f"{where}: the probability {found} is not a number") from error
                values = row["filename"], row["patient"], row["subtype"], CLASSES.index(row["label"]), *numbers
                rows.setdefault(row["split"], []).append(values)
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}; evaluate the run first") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file in UTF-8; evaluate the run again to rewrite it") from error
    if not rows:
        raise InputError(f"{path} has no rows; evaluate the run again")
    return {split: Predictions(*map(np.array, zip(*values, strict=True))) for split, values in rows.items()}


def _text(probability: float) -> str:
    return f"{probability:.9g}"
