"""One process at a time in one place, and nothing left behind by one that was killed or failed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import reason_and_remedy

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
        raise InputError(f"cannot write {target.parent}: {reason_and_remedy(error, 'another --data-dir')}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{target}: waiting for another process that builds it", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        for litter in target.parent.glob(f"{_LITTER}{target.name}"):
            whole = litter.joinpath(*target.parts[-3:])
            if (litter / "old").exists() and whole.exists() and not target.exists():
                whole.rename(target)  # killed between the two renames that replace a dataset
            shutil.rmtree(litter, ignore_errors=True)
        yield


@contextmanager
def filled(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a new or empty folder while the block fills it; a block that raises leaves it empty.

    Raises:
        InputError: the folder is not empty, another process fills it, or it cannot be written.
    """
    target, handle = Path(folder), None
    try:
        target.mkdir(parents=True, exist_ok=True)
        if fcntl is not None:
            handle = os.open(target, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if any(target.iterdir()):
            raise InputError(f"{folder}: is not empty; name a new folder")
        with _emptied_if_it_fails(target):
            yield
    except BlockingIOError as error:
        raise InputError(f"{folder} is in use by another process; wait, or name a new folder") from error
    except OSError as error:
        raise InputError(f"cannot write {folder}: {reason_and_remedy(error)}") from error
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def _emptied_if_it_fails(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for entry in folder.iterdir():
            shutil.rmtree(entry, ignore_errors=True)
        raise
