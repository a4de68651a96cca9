"""Writing files so that a reader sees the old one or the new one, never half of either."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pneumo_tfds.errors import InputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, its file takes `path`'s name at once.

    A block that raises leaves what was there untouched and removes the temporary file. The suffix is kept, because
    many writers choose a format by it.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except OSError as error:
        raise InputError(
            f"cannot write {target}: {error.strerror or error}; make room or choose another folder"
        ) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace `path` by `text` as UTF-8, at once."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replace `path` by `value` as indented JSON. NaN is refused: JSON has none; use None."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
