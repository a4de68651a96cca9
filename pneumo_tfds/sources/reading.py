"""Read the files of a folder, and try again where a disk or a network fails for a moment."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pneumo_tfds.program.errors import FAILING, InputError, reason_of
from pneumo_tfds.program.limits import MAX_FILE_BYTES
from pneumo_tfds.sources.inventory import Image

PASSING = FAILING | {errno.EAGAIN, errno.EINTR}
"""Errors of disks and networks that may be gone a moment later."""

PAUSES = (0.1, 0.5, 2.0)
"""Seconds before each further try."""


Result = TypeVar("Result")


class ReadError(InputError):
    """The machine could not read a file. That says nothing about the file, so it is not left out: the work stops."""


def try_again(read: Callable[[], Result], name: str, where: str | os.PathLike[str]) -> Result:
    """Return what `read` returns; call it again after a pause if the disk or the network failed.

    Raises:
        ReadError: it fails for another reason, or still fails after the last pause.
    """
    for pause in PAUSES:
        try:
            return read()
        except OSError as error:
            if error.errno not in PASSING:
                raise _read_error(name, error, where) from error
            time.sleep(pause)
    try:
        return read()
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

        return try_again(read, name, self.root)
