"""Where images come from and answers go to: folders here, archives in `dicomweb_archive.py`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from export.dicom_out.dicom_answers import AnswerFile
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import write_bytes
from pneumo_tfds.program.limits import MAX_FILE_BYTES
from pneumo_tfds.sources.listing import UNFINISHED, File, is_hidden, walk
from pneumo_tfds.sources.reading import ReadError

SETTLE = 5.0
"""Seconds in which a file that is being written grows, or gets a new time."""


BESIDE_A_JOURNAL = ("", "-wal", "-shm", "-journal", ".lock")
"""Endings of the files of a journal, SQLite's among them."""


class PassingError(InputError):
    """Raised when a place fails in a way that may be over later: the work is tried again, and never given up."""


class LastingError(InputError):
    """Raised when a place refuses one image or answer for good: it becomes a dead letter."""


class FolderSource:
    """A folder, its sub-folders included. A file is one image as long as its name, size and time stay the same.

    Args:
        folder: may be gone for a while, as network drives are.
        settle: seconds between the first two looks at the folder, at most `SETTLE`.
        journal: the journal of the work, which is no image, nor are the files that SQLite puts beside it.
    """

    def __init__(self, folder: Path, settle: float, journal: Path | None = None) -> None:
        self.whole, self._folder, self._settle = str(folder), folder, min(settle, SETTLE)
        self._own = {f"{os.path.realpath(journal)}{ending}" for ending in BESIDE_A_JOURNAL} if journal else set()
        self._names = {os.path.basename(path) for path in self._own}
        self._before: set[str] | None = None
        self.unlisted = ""
        """Why a folder inside could not be listed at the last look, so that its images wait; empty if all could."""

    def found(self) -> list[str]:
        """Return a key, as JSON text, for each file that has not changed since the last look.

        So none is read while it is written.

        Raises:
            PassingError: the folder cannot be listed now.
        """
        if self._before is None:
            self._before = self._look()
            time.sleep(self._settle)
        before, self._before = self._before, self._look()
        return sorted(before & self._before)

    def _look(self) -> set[str]:
        unread: dict[str, ReadError] = {}
        try:
            listed = walk(self._folder, unread)
            files = [file for file in listed if not is_hidden(file) and not self._is_own(file)]
        except InputError as error:
            raise PassingError(str(error)) from error
        passed = {name for name in unread if name == "lost+found" or is_hidden(File(name, 0))}
        reasons = [str(error) for name, error in unread.items() if name not in passed]
        more = f" (and {len(reasons) - 1} such)" if len(reasons) > 1 else ""
        self.unlisted = f"{reasons[0]}{more}" if reasons else ""
        return {
            json.dumps([file.name, file.size, file.modified])
            for file in files
            if file.size > 0 and not file.name.lower().endswith(UNFINISHED)
        }

    def _is_own(self, file: File) -> bool:
        named = os.path.basename(file.name) in self._names
        return named and os.path.realpath(self._folder / file.name) in self._own

    def name(self, key: str) -> str:
        """Return what an image is called in messages: its path."""
        return str(self._folder / json.loads(key)[0])

    def read(self, key: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            PassingError: it cannot be read now.
            LastingError: it is gone, or larger than an image may be.
        """
        path, size = self.name(key), json.loads(key)[1]
        if size > MAX_FILE_BYTES:
            raise LastingError(f"larger than {MAX_FILE_BYTES >> 20} MiB, the limit for one image")
        try:
            return Path(path).read_bytes()
        except FileNotFoundError as error:
            raise LastingError("was removed before it was read; put it there again") from error
        except OSError as error:
            raise PassingError(f"{path}: {reason_of(error)}") from error


class FolderTarget:
    """A folder that answers are written to, each file under its name at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, files: Sequence[AnswerFile]) -> None:
        """Write the files of an answer; the disk has them and their names when this returns.

        Raises:
            PassingError: the folder cannot be written now.
        """
        try:
            for file in files:
                write_bytes(self._folder / file.name, file.content)
        except InputError as error:
            raise PassingError(str(error)) from error
