"""Read the files of a folder, also where a disk or a network fails for a moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.limits import MAX_FILE_BYTES
from pneumo_tfds.program.trying_again import PASSING, PAUSES, try_again
from pneumo_tfds.sources.inventory import Image, Source

Result = TypeVar("Result")


class ReadError(InputError):
    """The machine could not read a file. That says nothing about the file, so it is not left out: the work stops."""


def read_patiently(read: Callable[[], Result], name: str, where: str | os.PathLike[str]) -> Result:
    """Return what `read` returns, as `try_again` does; `name` and `where` are for the message.

    Raises:
        ReadError: it fails for another reason, or still fails after the last pause.
    """
    try:
        return try_again(read)
    except OSError as error:
        raise _read_error(name, error, where) from error


def _read_error(name: str, error: OSError, where: str | os.PathLike[str]) -> ReadError:
    if error.errno in PASSING:
        remedy = f"tried {len(PAUSES) + 1} times; check the disk or network of {where}, then start again"
    elif error.errno in (errno.EACCES, errno.EPERM):
        remedy = "check its permissions"
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        remedy = f"it was removed meanwhile; start again when nothing changes {where}"
    else:
        remedy = f"check {where}, then start again"
    return ReadError(f"{name}: cannot be read ({reason_of(error)}); {remedy}")


@dataclass(frozen=True)
class FolderReader:
    """Reads files below a folder."""

    root: Path

    def read(self, image: Image) -> bytes:
        """Return the bytes of a file of at most `MAX_FILE_BYTES`."""
        return self.read_name(image.name)

    def read_name(self, name: str, first: int | None = None) -> bytes:
        """Return the bytes of a file, or its `first` bytes."""
        path = os.path.join(self.root, name)

        def read() -> bytes:
            # Unbuffered and without pathlib: threads that read small files wait for Python, not for the disk.
            with open(path, "rb", buffering=0) as file:
                if first is not None:
                    return file.read(first)
                if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                    raise InputError(f"{name}: over {MAX_FILE_BYTES >> 20} MiB, the limit for one image; remove it")
                return file.read()

        return read_patiently(read, name, self.root)


def image_files(source: Source) -> list[Path]:
    """Return the files that the images of a folder or table are; none for those of an archive."""
    reader = source.reader
    return [reader.root / image.name for image in source.images] if isinstance(reader, FolderReader) else []
