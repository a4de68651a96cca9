"""Find label and official split of a file from its path, in the layouts in which this data set is distributed.

These are the folders of Kaggle and Mendeley, `train|val|test / NORMAL|PNEUMONIA / file`, in any letter case and at any
depth, or the two label folders alone. Archives bring along files to ignore: a second nested copy, `__MACOSX`,
`.DS_Store`.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from pneumo_tfds.sources.inventory import LABELS, SPLIT_WORDS, Image
from pneumo_tfds.sources.patients import identify

DICOM_SUFFIXES = (".dcm", ".dicom")
IMAGE_SUFFIXES = frozenset({".jpeg", ".jpg", ".png", *DICOM_SUFFIXES})
"""In lower case. Builds and predictions take these files from folders and archives."""

Folders = tuple[str, ...]

TEST_PATIENT = "test:"
"""Prefix of patients in an official test folder, because the same numbers there are other children."""


@dataclass(frozen=True)
class File:
    """A file as a folder or an archive lists it."""

    name: str
    """Path within the source, with `/`."""
    size: int
    """Bytes."""
    checksum: int = -1
    """CRC-32, -1 if unknown."""


def arrange(files: Iterable[File]) -> tuple[tuple[Image, ...], dict[str, int]]:
    """Return the images among files in order of their names, and reason to number of ignored files."""
    ignored: Counter[str] = Counter()
    kept: dict[tuple[object, ...], list[tuple[Image, Folders]]] = defaultdict(list)
    for file in sorted(files, key=lambda file: (file.name.count("/"), file.name)):  # a nested copy comes second
        found = _classify(file)
        if isinstance(found, str):
            ignored[found] += 1
            continue
        image, above, below = found
        alike = kept[image.official_split, image.label, below, image.size, image.checksum]
        # The same file nested deeper is a second copy: Kaggle's zip holds everything twice.
        if any(len(above) > len(folders) and above[: len(folders)] == folders for _, folders in alike):
            ignored["second nested copy"] += 1
        else:
            alike.append((image, above))
    images = sorted(image for alike in kept.values() for image, _ in alike)
    return tuple(images), dict(sorted(ignored.items()))


def _classify(file: File) -> tuple[Image, Folders, Folders] | str:
    """Return an image, the folders above split and label, and those below with the name; or why a file is ignored."""
    path = PurePosixPath(file.name)
    folders = path.parts[:-1]
    if path.name.startswith("._") or "__MACOSX" in path.parts or path.name in (".DS_Store", "Thumbs.db"):
        return "left by an operating system"
    if any(part.startswith(".") for part in path.parts):
        return "hidden"
    if not is_printable(file.name):
        return "control characters or no Unicode in its name"
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return "not an image by its name"
    label_at = _last(folder.upper() in LABELS for folder in folders)
    if label_at is None:
        return "not in a NORMAL or PNEUMONIA folder"
    label = folders[label_at].upper()
    split_at = _last(folder.lower() in SPLIT_WORDS for folder in folders[:label_at])
    split = "" if split_at is None else SPLIT_WORDS[folders[split_at].lower()]
    patient, subtype = identify(file.name, label)
    # The official test set is of other children (Kermany et al.), though its numbers start at 1 again.
    patient = f"{TEST_PATIENT}{patient}" if split == "test" else patient
    image = Image(file.name, label, patient, subtype, split, file.size, file.checksum)
    return (image, folders[: label_at if split_at is None else split_at], (*folders[label_at + 1 :], path.name))


def _last(matches: Iterable[bool]) -> int | None:
    """Return the position of the last match, None if there is none."""
    return max((position for position, match in enumerate(matches) if match), default=None)


def is_printable(name: str) -> bool:
    """Return whether a name can be written to records and tables: Unicode without line breaks or control characters."""
    return name.isprintable() or not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, name))
