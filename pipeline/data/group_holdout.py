"""Groups of images held out of training, as if from another clinic: `--hold-out` and the split `held_out`.

Patients drawn at random share the circumstances in which images were made, so they do not show how a model fares
elsewhere. File names and pixels reveal such groups: NORMAL images come in two series, `IM-` and `NORMAL2-IM-`; the
numbers in names follow the order of a register; some images are much brighter than others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config import DataConfig, HoldOut
from pipeline.data.fold_splits import pooled, splits_of_fold
from pipeline.data.split import Examples, MemorySplit, Split, open_splits
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.splits.fold_sides import HELD_OUT

PART = 0.15  # of each kind of image, for groups cut from a range; of the other class, for groups of one class
FEWEST = 5  # images of each class that a split needs

Mask = NDArray[np.bool_]


def splits_of(data: DataConfig) -> dict[str, Split]:
    """Open the dataset of a run; with a hold-out, without its official test split, which must not influence choices.

    Returns:
        Split by name: those of the dataset; or with `hold_out` what remains of train and validation, and `held_out`;
        likewise for one fold. For a run of all folds `train` is train and validation together.

    Raises:
        InputError: there is no such dataset, or too few images of the group are in it.
    """
    splits: dict[str, Split] = {**open_splits(data.built.folder, data.image_size, data.framing)}
    if data.folds:
        splits = pooled(splits)
        return splits_of_fold(splits["train"], data) if data.fold else splits
    return splits if data.hold_out == "none" else without(splits, data.hold_out)


def splits_to_train_on(data: DataConfig) -> dict[str, Split]:
    """Open the dataset of a run as `splits_of` does.

    Raises:
        InputError: as `splits_of`; or the dataset has no training or no validation images.
    """
    splits = splits_of(data)
    if missing := [name for name in ("train", "validation") if name not in splits]:
        raise InputError(f"{data.built.folder} has no images in {' and '.join(missing)}; build it from more patients")
    return splits


def without(splits: Mapping[str, Split], group: HoldOut) -> dict[str, Split]:
    """Move a group, with all images of its patients, from train and validation to `held_out`; see `splits_of`."""
    parts = {name: splits[name].examples for name in ("train", "validation") if name in splits}
    every = Examples.concatenate(list(parts.values()))
    held = every.patients[members(every, group)]
    kept = {name: part.take(~np.isin(part.patients, held)) for name, part in parts.items()}
    moved = {HELD_OUT: every.take(np.isin(every.patients, held))}
    left: dict[str, Split] = {name: MemorySplit(name, part) for name, part in (kept | moved).items()}
    for name, split in left.items():
        normal, pneumonia = np.bincount(split.labels, minlength=2)
        if min(normal, pneumonia) < FEWEST:
            raise InputError(
                f"--hold-out {group} leaves {normal} NORMAL and {pneumonia} PNEUMONIA images in {name}, but at least "
                f"{FEWEST} of each are needed; the groups are made for the file names of Kermany's archive"
            )
    return left


def members(examples: Examples, group: HoldOut) -> Mask:
    """Return the mask `[n]` of a group; one of NORMAL images alone also gets a share of the PNEUMONIA patients."""
    names = np.array([Path(name).name for name in examples.filenames])
    if group in ("im", "normal2-im"):
        prefix = {"im": "IM-", "normal2-im": "NORMAL2-IM-"}[group]
        some = (examples.labels == 1) & (_hash_fraction(examples.patients) < PART)
        inside: Mask = np.char.startswith(names, prefix) | some
        return inside
    series = np.where(np.char.startswith(names, "NORMAL2"), "normal2", examples.subtypes)
    if group == "low-numbers":
        # The first number of `person78_virus_140`, `NORMAL2-IM-0383-0001`.
        numbers = [re.search(r"(?:person|IM-)(\d+)", name) for name in names]
        values = np.array([float(number[1]) if number else np.inf for number in numbers])
    else:
        values = -examples.images.mean(axis=(1, 2, 3))
    chosen = np.zeros(len(names), bool)
    for kind in np.unique(series):
        rows = series == kind
        chosen[rows] = values[rows] <= np.quantile(values[rows], PART)
    return chosen


def _hash_fraction(patients: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return a number from 0 to 1 for each patient, from a hash of its name: the same in every dataset."""
    unique, rows = np.unique(patients, return_inverse=True)
    digests = [hashlib.sha256(f"hold-out {patient}".encode()).digest() for patient in unique]
    return np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])[rows]
