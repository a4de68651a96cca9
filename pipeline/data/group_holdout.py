"""Whole groups of images kept out of training, as another clinic's would be: `--hold-out` and the split `held_out`.

A hold-out of patients drawn at random says nothing of images that were made in another way. File names and pictures
give such groups away: healthy children come in two series, `IM-` and `NORMAL2-IM-`; the numbers in names follow the
order of a register; some images are much brighter than others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import DataConfig, HoldOut
from pipeline.data.split import Examples, Split, open_splits
from pneumo_tfds.program.errors import InputError

HELD_OUT = "held_out"
PART = 0.15  # of each kind of image, for groups that are cut from a range; of the other class, for groups of one class
FEWEST = 5  # images of each class that say anything about a group

Mask = NDArray[np.bool_]


def splits_of(data: DataConfig) -> dict[str, Split]:
    """Open the run's dataset; with a hold-out, without its official test, whose images no choice may see.

    Args:
        data: the run's; its `dataset` is known.

    Returns:
        Split by name: those of the dataset; or with `hold_out` the train and validation that are left and `held_out`.

    Raises:
        InputError: the dataset is none, or has too few images of that group.
    """
    splits = open_splits(data.built.folder, data.image_size)
    return splits if data.hold_out == "none" else without(splits, data.hold_out)


def without(splits: Mapping[str, Split], group: HoldOut) -> dict[str, Split]:
    """Take a group out of train and validation, all images of its patients with it; see `splits_of`."""
    parts = {name: splits[name].examples for name in ("train", "validation") if name in splits}
    every = _joined(list(parts.values()))
    held = np.isin(every.patients, np.unique(every.patients[members(every, group)]))
    left = {}
    start = 0
    for name, examples in parts.items():
        inside = held[start : start + len(examples)]
        start += len(examples)
        left[name] = _split(name, examples, ~inside)
    left[HELD_OUT] = _split(HELD_OUT, every, held)
    for name, split in left.items():
        counts = np.bincount(split.labels, minlength=2)
        if counts.min() < FEWEST:
            raise InputError(
                f"--hold-out {group} leaves {counts[0]} NORMAL and {counts[1]} PNEUMONIA images in {name}, and "
                f"{FEWEST} of each is the least; the group is made for the names of Kermany's archive"
            )
    return left


def members(examples: Examples, group: HoldOut) -> Mask:
    """Say which images are in a group, `[n]`; a group of NORMAL images alone gets a part of the PNEUMONIA patients."""
    names = np.array([Path(name).name for name in examples.filenames])
    if group in ("im", "normal2-im"):
        prefix = {"im": "IM-", "normal2-im": "NORMAL2-IM-"}[group]
        some = (examples.labels == 1) & (_place(examples.patients) < PART)
        inside: Mask = np.char.startswith(names, prefix) | some
        return inside
    series = np.where(np.char.startswith(names, "NORMAL2"), "normal2", examples.subtypes)
    if group == "low-numbers":
        values = np.array([_number(name) for name in names])
    else:
        values = -examples.images.mean(axis=(1, 2, 3))
    chosen = np.zeros(len(names), bool)
    for kind in np.unique(series):
        rows = series == kind
        chosen[rows] = values[rows] <= np.quantile(values[rows], PART)
    return chosen


def _number(name: str) -> float:
    """The first number of a name (`person78_virus_140`, `NORMAL2-IM-0383-0001`), infinite if it has none."""
    found = re.search(r"(?:person|IM-)(\d+)", name)
    return float(found[1]) if found else np.inf


def _place(patients: NDArray[np.str_]) -> NDArray[np.float64]:
    """A number from 0 to 1 of each patient, by hash: the same in every dataset."""
    unique, rows = np.unique(patients, return_inverse=True)
    digests = [hashlib.sha256(f"hold-out {patient}".encode()).digest() for patient in unique]
    return np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])[rows]


def _joined(parts: list[Examples]) -> Examples:
    values: dict[str, Any] = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Examples)
    }
    return Examples(**values)


def _split(name: str, examples: Examples, rows: Mask) -> Split:
    part = Examples(**{field.name: getattr(examples, field.name)[rows] for field in fields(Examples)})
    return Split.of(name, part)
