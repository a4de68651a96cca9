"""One build at a time in one place, and nothing left behind by a build that was killed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pneumo_tfds.errors import InputError

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no such locks; two builds at once are then the user's to avoid.
    fcntl = None  # type: ignore[assignment]

_LITTER = "incomplete.*_"


@contextmanager
def exclusive(dataset_dir: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock of `<config>/<version>` while the block runs; wait for another process that holds it.

    The kernel drops the lock when its process dies, however it dies. So whoever holds it may remove the folders that
    unfinished builds left beside the dataset. Folders of other file systems (`gs://...`) are left alone.

    Raises:
        InputError: the folder cannot be written.
    """
    if fcntl is None or "://" in os.fspath(dataset_dir):
        yield
        return
    target = Path(dataset_dir)
    lock = target.parent / f".{target.name}.lock"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise InputError(f"cannot write {target.parent}: {error.strerror}; choose another --data-dir") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for litter in target.parent.glob(f"{_LITTER}{target.name}"):
            shutil.rmtree(litter, ignore_errors=True)
        yield
