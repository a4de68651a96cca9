"""Locks: one process at a time in a folder. The system drops them when their process ends, however it ends."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from filelock import lock_descriptor

from pneumo_tfds.program.errors import InputError, reason_and_remedy
from pneumo_tfds.program.files import is_local, synchronize

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF})
"""What file systems without locks answer; EBADF where only files that are open for writing can be locked (NFS)."""

FOLDERS_CAN_BE_OPENED = os.name != "nt"


def lock(descriptor: int, folder: Path) -> bool:
    """Lock an open file until it is closed. Where the file system has no locks, warn about `folder` and return False.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    try:
        if not lock_descriptor(descriptor, blocking=False):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(folder))
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        _warn(folder)
        return False
    return True


@functools.cache
def _warn(folder: Path) -> None:
    line = f"{folder}: there are no file locks here; do not start a second command on this folder while one runs"
    print(line, file=sys.stderr, flush=True)


def _opened(folder: Path, name: str, elsewhere: str = "another folder") -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / name).open("a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {folder}: {reason_and_remedy(error, elsewhere)}") from error


@contextmanager
def held(folder: Path, name: str = ".lock") -> Iterator[None]:
    """Hold the lock file `name` in `folder`, which is created if need be, while the block runs.

    Raises:
        InputError: another process holds it, or the folder cannot be written.
    """
    with _opened(folder, name) as file:
        try:
            lock(file.fileno(), folder)
        except BlockingIOError as error:
            raise InputError(f"{folder} is in use by another process; wait, or give another folder") from error
        yield


@contextmanager
def exclusive(dataset_dir: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock of a dataset folder `<config>/<version>` while the block runs; wait while another process holds it.

    The holder first removes the folders that unfinished builds left beside the dataset. Folders of other file systems
    (`gs://...`) are not locked.

    Raises:
        InputError: the folder cannot be written.
    """
    if not is_local(dataset_dir):
        yield
        return
    target = Path(dataset_dir)
    with _opened(target.parent, f".{target.name}.lock", "another --data-dir") as file:
        try:
            locked = lock(file.fileno(), target.parent)
        except BlockingIOError:
            print(f"{target}: waiting for another process that builds it", file=sys.stderr, flush=True)
            locked = lock_descriptor(file.fileno())
        if locked:
            _remove_unfinished(target)
        yield


def _remove_unfinished(target: Path) -> None:
    """Remove what killed builds left. If one died between the two renames that replace a dataset, do the second."""
    for unfinished in target.parent.glob(f"incomplete.*_{target.name}"):
        new = unfinished.joinpath(*target.parts[-3:])
        if (unfinished / "old").exists() and new.exists() and not target.exists():
            new.rename(target)
            synchronize(target.parent)
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def filled(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a new or empty folder while the block fills it; a block that raises leaves it empty.

    Raises:
        InputError: the folder is not empty, another process fills it, or it cannot be written.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            if FOLDERS_CAN_BE_OPENED:  # the folder itself is locked, as a lock file in it would make it not empty
                descriptor = os.open(target, os.O_RDONLY)
                stack.callback(os.close, descriptor)
                lock(descriptor, target)
            else:
                _warn(target)
            if any(target.iterdir()):
                raise InputError(f"{folder}: is not empty; name a new folder")
            try:
                yield
            except BaseException:
                for entry in target.iterdir():
                    shutil.rmtree(entry, ignore_errors=True)
                raise
    except BlockingIOError as error:
        raise InputError(f"{folder} is in use by another process; wait, or name a new folder") from error
    except OSError as error:
        raise InputError(f"cannot write {folder}: {reason_and_remedy(error)}") from error
