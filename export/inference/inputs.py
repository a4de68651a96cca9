"""Where prediction finds its images: files, folders, zip archives and standard input, one after another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pneumo_tfds.program.errors import InputError, plain, reason_of
from pneumo_tfds.program.limits import MAX_FILE_BYTES
from pneumo_tfds.sources.layout import IMAGE_SUFFIXES
from pneumo_tfds.sources.zip_archive import ZipReader, list_members

STANDARD_INPUT = "-"


class UnreadableError(InputError):
    """One image could not be read; the others still can."""


@dataclass(frozen=True)
class Image:
    """One image to predict: its name, and how to get its bytes when its turn comes."""

    name: str
    """As it can be printed and written in UTF-8, which a path need not be."""
    read: Callable[[], bytes]
    """Returns the encoded bytes; raises `UnreadableError`. Safe to call from any thread."""


def find_images(places: Sequence[str]) -> list[Image]:
    """Every image in `places`, in the order given; folders and archives sorted by name, recursively.

    A file that is named is taken whatever its suffix; in folders and archives only image suffixes count, and macOS
    leftovers (`__MACOSX`, `._*`) do not.

    Raises:
        InputError: a place does not exist, a zip is damaged, a place has no image, or nothing was given.
    """
    if not places:
        raise InputError("no image was given; name files, folders or zips, or - for an image on standard input")
    if list(places).count(STANDARD_INPUT) > 1:
        raise InputError("standard input (-) was given twice; it holds one image")
    return [image for place in places for image in _in_place(place)]


def _in_place(place: str) -> Iterator[Image]:
    path = Path(place)
    if place == STANDARD_INPUT:
        yield Image("<stdin>", _read_stdin)
    elif path.is_dir():
        found = [
            entry
            for entry in sorted(path.rglob("*"))
            if _is_image(entry.relative_to(path).as_posix()) and entry.is_file()
        ]
        if not found:
            raise InputError(f"{place} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); give another folder")
        yield from (Image(plain(str(entry)), _file_reader(entry)) for entry in found)
    elif not path.exists():
        raise InputError(f"{place} does not exist; give an image, a folder, a zip, or - for standard input")
    elif path.suffix.lower() == ".zip":
        yield from _in_zip(path)
    else:
        yield Image(plain(place), _file_reader(path))


def _in_zip(path: Path) -> Iterator[Image]:
    members = sorted(member.name for member in list_members(path) if _is_image(member.name))
    if not members:
        raise InputError(f"{path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); give another archive")
    archive = ZipReader(path)
    yield from (Image(plain(f"{path}/{member}"), _member_reader(archive, member)) for member in members)


def _is_image(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _file_reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise UnreadableError(f"{path}: over {MAX_FILE_BYTES >> 20} MiB, the limit for one image")
            return path.read_bytes()
        except OSError as error:
            raise UnreadableError(f"{path}: {reason_of(error)}") from error

    return read


def _member_reader(archive: ZipReader, member: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return archive.read_member(member)
        except InputError as error:
            raise UnreadableError(str(error)) from error

    return read


def _read_stdin() -> bytes:
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if not data:
        raise UnreadableError("<stdin>: nothing arrived on standard input")
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableError(f"<stdin>: over {MAX_FILE_BYTES >> 20} MiB, the limit for one image")
    return data
