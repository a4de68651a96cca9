"""From the path of a file to its label and official split, in the layouts that this data set is found in.

Kaggle's and Mendeley's folders `train|val|test / NORMAL|PNEUMONIA / file`, in any letter case and at any depth; the
two label folders alone; and what archives bring along: a second nested copy, `__MACOSX`, `.DS_Store`.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from pneumo_tfds.sources.inventory import LABELS, Image
from pneumo_tfds.sources.patients import identify

EXTENSIONS = frozenset({".jpeg", ".jpg", ".png", ".dcm"})

TEST_PATIENT = "test:"
"""Before the patient of an image in an official test folder: its numbers are read as those of other children."""

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class File:
    """A file as a folder or an archive lists it."""

    name: str
    """Path within the source, with `/`."""
    size: int
    """Bytes."""
    checksum: int = -1
    """CRC-32, -1 if unknown."""


@dataclass(frozen=True)
class _Place:
    above: tuple[str, ...]
    key: tuple[str, str, str]
    image: Image


def arrange(files: Iterable[File]) -> tuple[tuple[Image, ...], dict[str, int]]:
    """Sort files into images and what is ignored.

    Returns:
        The images in order of their names, and reason to count for the files that were left out.
    """
    ignored: Counter[str] = Counter()
    places: dict[tuple[str, str, str], list[_Place]] = {}
    for file in sorted(files, key=lambda file: (file.name.count("/"), file.name)):
        place = _place(file, ignored)
        if place is None:
            continue
        known = places.setdefault(place.key, [])
        if any(_is_second_copy(first, place) for first in known):
            ignored["second nested copy"] += 1
        else:
            known.append(place)
    images = sorted(place.image for group in places.values() for place in group)
    return tuple(images), dict(sorted(ignored.items()))


def _place(file: File, ignored: Counter[str]) -> _Place | None:
    path = PurePosixPath(file.name)
    if path.name.startswith("._") or "__MACOSX" in path.parts or path.name in (".DS_Store", "Thumbs.db"):
        ignored["left by an operating system"] += 1
        return None
    if any(part.startswith(".") for part in path.parts):
        ignored["hidden"] += 1
        return None
    if not writable(file.name):
        ignored["control characters or no Unicode in its name"] += 1
        return None
    if path.suffix.lower() not in EXTENSIONS:
        ignored["not an image by its name"] += 1
        return None
    folders = path.parts[:-1]
    at = next((i for i in reversed(range(len(folders))) if folders[i].upper() in LABELS), None)
    if at is None:
        ignored["not in a NORMAL or PNEUMONIA folder"] += 1
        return None
    label = folders[at].upper()
    split_at = next((i for i in reversed(range(at)) if folders[i].lower() in _SPLITS), None)
    split = "" if split_at is None else _SPLITS[folders[split_at].lower()]
    above = folders[: at if split_at is None else split_at]
    identity = identify(file.name, label)
    # The official test set is of other children (Kermany et al.), though its numbers start at 1 again.
    patient = f"{TEST_PATIENT}{identity.patient}" if split == "test" else identity.patient
    image = Image(file.name, label, patient, identity.subtype, split, file.size, file.checksum)
    return _Place(above, (split, label, "/".join((*folders[at + 1 :], path.name))), image)


def writable(name: str) -> bool:
    """Whether a name can stand in records, tables and lists: Unicode, without line breaks and control characters."""
    return name.isprintable() or not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, name))


def _is_second_copy(first: _Place, other: _Place) -> bool:
    """Kaggle's zip has everything twice, once one folder deeper. Siblings with equal file names are no copies."""
    nested = len(other.above) > len(first.above) and other.above[: len(first.above)] == first.above
    same = (first.image.size, first.image.checksum) == (other.image.size, other.image.checksum)
    return nested and same
