"""Folds of a dataset, for cross-validation: `--folds` and the split `held_out` of each fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.config import DataConfig
from pipeline.data.split import Examples, MemorySplit, Split
from pneumo_tfds.prepared import read_metadata
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.inventory import LABELS, Image
from pneumo_tfds.splits.fold_sides import HELD_OUT, sides_of_fold

FEW_PATIENTS = 10
"""Patients of a class in the validation of a fold; with fewer there is a warning."""


def pooled(splits: Mapping[str, Split]) -> dict[str, Split]:
    """Return train and validation in one split, `train`, in memory, and the other splits as they are."""
    divided = [splits[name].examples for name in ("train", "validation") if name in splits]
    pool: dict[str, Split] = {"train": MemorySplit("train", Examples.concatenate(divided))}
    return pool | {name: split for name, split in splits.items() if name not in ("train", "validation")}


def splits_of_fold(pool: Split, data: DataConfig) -> dict[str, Split]:
    """Return the splits of fold `data.fold` of `data.folds`: `train`, `validation` and `held_out`, without test.

    Raises:
        InputError: a class has too few patients for so many folds.
    """
    rows, examples = rows_of_fold(pool, data), pool.examples
    return {name: MemorySplit(name, examples.take(chosen)) for name, chosen in rows.items()}


def halves_of_fold(pool: Split, data: DataConfig) -> tuple[Split, Split]:
    """Return the images outside of fold `data.fold`, as `train`, and those in it; raise InputError as above."""
    splits = pooled(splits_of_fold(pool, data))
    return splits["train"], splits[HELD_OUT]


def few_in_validation(examples: Examples, of_folds: Sequence[np.ndarray]) -> str:
    """Return what to say if the validation of a fold, as row numbers, has few patients of a class; empty if none has.

    What is chosen on a handful of patients is a matter of luck.
    """
    labels, patients = examples.labels, examples.patients
    counts = [
        min(len(np.unique(patients[rows][labels[rows] == label])) for label in range(len(LABELS))) for rows in of_folds
    ]
    if (least := min(counts)) >= FEW_PATIENTS:
        return ""
    return (
        f"validation of fold {counts.index(least) + 1} has {counted(least, 'patient')} of a class, fewer than "
        f"{FEW_PATIENTS}, and epoch, calibration and threshold of its network are chosen on them; raise "
        "--validation-fraction, or add patients"
    )


def rows_of_fold(pool: Split, data: DataConfig) -> dict[str, np.ndarray]:
    """Return which images of the pool are in which split of a fold: ascending row numbers, as `splits_of_fold`."""
    part = pool.examples
    columns = (column.tolist() for column in (part.filenames, part.labels, part.patients, part.subtypes))
    images = [Image(name, LABELS[label], patient, kind) for name, label, patient, kind in zip(*columns, strict=True)]
    known = {image.name: image for image in images}
    groups = read_metadata(data.built.folder).get("byte_identical", [])
    identical = [[known[name] for name in group if name in known] for group in groups]
    sides = sides_of_fold(images, identical, data.folds, data.fold, data.validation_fraction)
    placed = np.array([sides[image.name] for image in images])
    return {side: np.flatnonzero(placed == side) for side in ("train", "validation", HELD_OUT)}
