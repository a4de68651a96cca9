"""Write files so that a reader sees the old content or the new, never half of either, also if the power fails."""

from __future__ import annotations

import csv
import errno
import functools
import hashlib
import io
import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import lock_descriptor

from pneumo_tfds.program.errors import InputError, reason_and_remedy, reason_of
from pneumo_tfds.program.trying_again import try_again

JSON_SHAPE_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What is raised when parsed JSON lacks a key or has a value of the wrong type."""

OPEN_FILES_CAN_BE_RENAMED = os.name != "nt"
"""False on Windows, so temporary files are not locked there, and those of a killed process stay."""

_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}\.partial(\.[^.]*)?")
_STEM = 50  # characters of the name that are kept, so that a long name still leaves room for the rest


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block succeeds, rename its file to `path` in one step.

    Of a symbolic link, the file that it leads to is replaced. A pipe or a device has no old content to keep, so its own
    path is yielded.

    A block that raises leaves the old file untouched and removes the temporary one. What a killed process left behind
    is removed by the next process that writes to the folder. The suffix is kept, as many writers choose a format by it.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    target = Path(path)
    with _explained(target), _replacing(target) as temporary:
        yield temporary


def try_to_write(path: str | os.PathLike[str]) -> None:
    """Raise InputError if `replacing` could not write a file now, before the work that it is to hold; write nothing."""
    target = Path(path)
    with _explained(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if target.exists() and not target.is_file():  # a device
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(target):
            pass


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # about standard output, not about this file
        raise
    except OSError as error:
        raise InputError(f"cannot write {target}: {reason_and_remedy(error)}") from error


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if target.exists() and not target.is_file():  # before links are followed: /dev/fd leads to no path
        yield target
        return
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    _synchronize_above(os.path.abspath(target.parent))
    with _temporary(target) as temporary:
        yield temporary
        with temporary.open("r+b") as written:  # Windows synchronizes only files that are open for writing
            os.fsync(written.fileno())
        temporary.replace(target)
        synchronize(target.parent)


def is_local(place: str | os.PathLike[str]) -> bool:
    """Return whether a place is a path of this machine, not an address such as `gs://...`."""
    return "://" not in os.fspath(place)


def synchronize(folder: Path) -> None:
    """Wait until the disk has the names in a folder: after a power failure they are as they are now."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):  # folders are not synchronized here
            raise
    finally:
        os.close(descriptor)


def synchronize_tree(folder: Path) -> None:
    """Wait until the disk has all files below a folder, and all names, its own among them."""
    for at, _, names in os.walk(folder):
        for name in names:
            with Path(at, name).open("r+b") as file:
                os.fsync(file.fileno())
        synchronize(Path(at))
    _synchronize_above(os.path.abspath(folder))


@functools.lru_cache(maxsize=4096)  # once per folder and process: a name that is there stays
def _synchronize_above(folder: str) -> None:
    """Wait until the disk has the names of the folders that lead to a folder."""
    for above in Path(folder).parents:
        with suppress(PermissionError):  # one that may be passed but not read
            synchronize(above)


def remove(*paths: Path) -> None:
    """Remove files that may be there, and wait until the disk has forgotten their names."""
    for path in paths:
        path.unlink(missing_ok=True)
        synchronize(path.parent)


def replace_patiently(path: str | os.PathLike[str], write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path and rename its file to `path`, as `replacing` does.

    All of it is done again where a disk or a network fails for a moment: what was written before is not to be trusted.

    Raises:
        InputError: as `replacing`, or the disk or network still fails after the last try.
    """
    target = Path(path)

    def replace() -> None:
        with _replacing(target) as temporary:
            write(temporary)

    with _explained(target):
        try_again(replace)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace the content of `path` by `text` as UTF-8."""
    replace_patiently(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace the content of `path`."""
    replace_patiently(path, lambda temporary: temporary.write_bytes(content))


def write_csv_rows(path: str | os.PathLike[str], rows: Iterable[Iterable[Any]]) -> None:
    """Replace the content of `path` by rows of comma-separated values, a heading among them if there is one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replace the content of `path` by `value` as indented JSON. NaN is refused, as JSON has none; use None."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, 64 hex digits; raises OSError if it cannot be read."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return the folder for what is kept between runs and can be made again: `~/.cache/pneumo`, by the XDG rules."""
    root = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(root if os.path.isabs(root) else tempfile.gettempdir(), "pneumo")  # not absolute: there is no home


def read_json(path: str | os.PathLike[str], remedy: str) -> Any:
    """Read JSON.

    Raises:
        InputError: the file is missing, cannot be read, is not JSON, or has a name twice in one object. The message
            ends with `remedy`.
    """
    try:
        text = try_again(lambda: Path(path).read_text(encoding="utf-8"))
        return json.loads(text, object_pairs_hook=each_name_once)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {path} ({reason_of(error)}); {remedy}") from error


def each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, as `object_pairs_hook` of `json.loads`, which would keep the last of several values.

    Raises:
        ValueError: two pairs have one name.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return found


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Create an empty file beside `target`, locked while it is open; remove it afterwards unless it was renamed."""
    _remove_litter(os.path.abspath(target.parent))
    while True:
        path = target.with_name(f".{target.stem[:_STEM]}.{secrets.token_hex(6)}.partial{target.suffix}")
        file = path.open("xb")
        if not OPEN_FILES_CAN_BE_RENAMED:
            file.close()
            break
        with suppress(OSError):  # a file system without locks; nothing is removed as litter there either
            lock_descriptor(file.fileno())
        if path.exists():
            break
        file.close()  # another process removed it as litter before it was locked
    try:
        yield path
    finally:
        file.close()
        path.unlink(missing_ok=True)


@functools.lru_cache(maxsize=4096)  # once per folder and process, which removes its own files itself
def _remove_litter(folder: str) -> None:
    """Remove the temporary files in a folder that no living process holds, on this machine or another."""
    if not OPEN_FILES_CAN_BE_RENAMED:
        return
    for path in Path(folder).glob(".*.partial*"):
        if _TEMPORARY.fullmatch(path.name):
            with suppress(OSError), path.open("r+b") as file:
                if lock_descriptor(file.fileno(), blocking=False):
                    path.unlink()
