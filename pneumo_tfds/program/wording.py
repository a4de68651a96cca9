"""Numbers in messages, and paths in the commands that messages give."""

from __future__ import annotations

import shlex
from pathlib import Path


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 image`, `1,234 images`; `plural` if it does not end in `s`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def quoted(path: str | Path) -> str:
    """Return a path as a shell takes it for one word, for a command to copy: in quotes if it has spaces."""
    return shlex.quote(str(path))
