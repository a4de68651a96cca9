"""Images to predict, found in files, folders, zip archives and standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from pneumo_tfds.program.errors import InputError, plain, reason_of
from pneumo_tfds.program.limits import MAX_FILE_BYTES
from pneumo_tfds.sources.listing import IMAGE_SUFFIXES
from pneumo_tfds.sources.zip_archive import ZipReader, list_members

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Image:
    """An image to predict: its name, and a function that reads its bytes when they are needed."""

    name: str
    """In a form that can be printed and written in UTF-8, which a path may not be."""
    read: Callable[[], bytes]
    """Returns the encoded bytes; raises InputError. Safe to call from any thread."""


def find_images(places: Sequence[str]) -> list[Image]:
    """Return every image in `places`, in the order given; folders and archives recursively, sorted by name.

    A file that is named is taken whatever its suffix. In folders and archives, only files with an image suffix are
    taken, and macOS metadata (`__MACOSX`, `._*`) is skipped.

    Raises:
        InputError: a place does not exist or has no image, a zip is damaged, or `places` is empty.
    """
    if not places:
        raise InputError("no image was given; give files, folders or zips, or - for an image on standard input")
    if list(places).count(STANDARD_INPUT) > 1:
        raise InputError("standard input (-) was given twice; it holds one image")
    return [image for place in places for image in _in_place(place)]


def _in_place(place: str) -> list[Image]:
    path = Path(place)
    if place == STANDARD_INPUT:
        return [Image("<stdin>", _read_stdin)]
    if not path.exists():
        raise InputError(f"{place} does not exist; give an image, a folder, a zip, or - for standard input")
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if _is_image(file.relative_to(path).as_posix())]
        images = [Image(plain(str(file)), partial(_read_file, file)) for file in files if file.is_file()]
    elif path.suffix.lower() == ".zip":
        archive = ZipReader(path)
        members = sorted(member.name for member in list_members(path) if _is_image(member.name))
        images = [Image(plain(f"{path}/{member}"), partial(archive.read_name, member)) for member in members]
    else:
        return [Image(plain(place), partial(_read_file, path))]
    if not images:
        raise InputError(f"{place} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); give another folder or zip")
    return images


def _is_image(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _read_file(path: Path) -> bytes:
    try:
        _check_size(path.stat().st_size, str(path))
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {reason_of(error)}") from error


def _read_stdin() -> bytes:
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if not data:
        raise InputError("<stdin>: standard input is empty")
    _check_size(len(data), "<stdin>")
    return data


def _check_size(size: int, name: str) -> None:
    if size > MAX_FILE_BYTES:
        raise InputError(f"{name}: larger than {MAX_FILE_BYTES >> 20} MiB, the limit for one image")
