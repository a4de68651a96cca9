"""Writing files so that a reader sees the old one or the new one, never half of either."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from pneumo_tfds.program.errors import InputError

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no such locks: what a killed process left there stays.
    fcntl = None  # type: ignore[assignment]

UNFIT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What code raises that takes JSON for what it should be: a key that is missing, text in the place of a number."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}\.partial(\.[^.]*)?")
_STEM = 50  # characters of a name that are kept, so that the temporary name fits wherever the final one does


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, its file takes `path`'s name at once.

    A block that raises leaves what was there untouched and removes the temporary file; what a killed process left is
    removed by the next that writes to the folder. The suffix is kept, because many writers choose a format by it.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(target) as temporary:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
    except BrokenPipeError:  # a reader of our output has gone, which is not about this file
        raise
    except OSError as error:
        raise InputError(f"cannot write {target}: {reason_and_remedy(error)}") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace `path` by `text` as UTF-8, at once."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replace `path` by `value` as indented JSON. NaN is refused: JSON has none; use None."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str], remedy: str) -> Any:
    """Read JSON.

    Args:
        path: the file.
        remedy: what to do if that fails, as the end of the message.

    Raises:
        InputError: the file is not there, cannot be read, or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path} ({reason}); {remedy}") from error


def reason_and_remedy(error: OSError, elsewhere: str = "another folder") -> str:
    """Say why the system refused to write, and what to do: `Permission denied; choose another folder`."""
    room = "make room or " if error.errno in FULL else ""
    return f"{error.strerror or error}; {room}choose {elsewhere}"


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Make an empty file beside `target` under a name of its own, and remove it unless it has got another."""
    _remove_litter(os.path.abspath(target.parent))
    path, held = _made(target)
    try:
        yield path
    finally:
        held.close()
        path.unlink(missing_ok=True)


def _made(target: Path) -> tuple[Path, IO[bytes]]:
    """Make the file, and lock it for as long as this process has it open: an unlocked one is litter."""
    while True:
        path = target.with_name(f".{target.stem[:_STEM]}.{secrets.token_hex(6)}.partial{target.suffix}")
        held = path.open("xb")
        if fcntl is None:
            held.close()  # Windows renames no open file
            return path, held
        if _locked(held) and path.exists():
            return path, held
        held.close()  # taken for litter between its making and its locking


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks, where nothing is taken for litter either
        return True
    return True


@functools.lru_cache(maxsize=4096)  # once for a process: what it begins itself, it removes itself
def _remove_litter(folder: str) -> None:
    """Remove the temporary files in a folder that no living process holds, on this machine or another."""
    if fcntl is None:
        return
    for path in Path(folder).glob(".*.partial*"):
        if _TEMPORARY.fullmatch(path.name):
            with suppress(OSError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
