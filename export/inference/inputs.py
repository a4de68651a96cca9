"""Images to predict, found in files, folders, zip archives and standard input."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pneumo_tfds.program.errors import InputError, plain
from pneumo_tfds.program.limits import MAX_FILE_BYTES
from pneumo_tfds.sources.listing import File, NamedReader, reason_to_leave_out, walk
from pneumo_tfds.sources.reading import FolderReader
from pneumo_tfds.sources.zip_archive import ZipReader, list_members

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Image:
    """An image to predict: its name, and a function that reads its bytes when they are needed."""

    name: str
    """In a form that can be printed and written in UTF-8, which a path may not be."""
    read: Callable[[], bytes]
    """Returns the encoded bytes; raises InputError. Safe to call from any thread."""
    path: Path | None = None
    """The file that it is read from, be it an archive; None for standard input."""


def find_images(places: Sequence[str], left_out: Counter[str]) -> list[Image]:
    """Return every image in `places`, in the order given; folders and archives recursively, sorted by name.

    A file that is named is taken whatever it is. In folders and archives the images are found as a build finds them
    (`pneumo_tfds.sources.listing`); `left_out` counts the other files by the reason.

    Raises:
        InputError: a place does not exist or has no image, a zip is damaged, or `places` is empty.
    """
    if not places:
        raise InputError("no image was given; give files, folders or zips, or - for an image on standard input")
    if list(places).count(STANDARD_INPUT) > 1:
        raise InputError("standard input (-) was given twice; it holds one image")
    return [image for place in places for image in _in_place(place, left_out)]


def _in_place(place: str, left_out: Counter[str]) -> list[Image]:
    path = Path(place)
    if place == STANDARD_INPUT:
        return [Image("<stdin>", _read_stdin)]
    if not path.exists():
        raise InputError(f"{place} does not exist; give an image, a folder, a zip, or - for standard input")
    if path.is_dir():
        return _among(place, walk(path), FolderReader(path), left_out)
    if path.suffix.lower() == ".zip":
        return _among(place, list_members(path), ZipReader(path), left_out)
    return [Image(plain(place), partial(FolderReader(path.parent).read_name, path.name), path)]


def _among(place: str, files: Iterable[File], reader: NamedReader, left_out: Counter[str]) -> list[Image]:
    images, others = [], Counter[str]()
    for file in sorted(files, key=lambda file: file.name):
        if reason := reason_to_leave_out(file, reader):
            others[reason] += 1
        else:
            whole = Path(place, file.name)
            where = whole if isinstance(reader, FolderReader) else Path(place)
            images.append(Image(plain(str(whole)), partial(reader.read_name, file.name), where))
    if not images:
        found = ", ".join(f"{count} {reason}" for reason, count in others.items()) or "it is empty"
        raise InputError(f"{place} holds no image ({found}); give another folder or zip with JPEG, PNG or DICOM files")
    left_out.update(others)
    return images


def _read_stdin() -> bytes:
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if not data:
        raise InputError("<stdin>: standard input is empty")
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"<stdin>: larger than {MAX_FILE_BYTES >> 20} MiB, the limit for one image")
    return data
