"""Numbers in messages, and paths in the commands that messages give."""

from __future__ import annotations

import shlex
from pathlib import Path


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 image`, `1,234 images`; `plural` if it does not end in `s`."""
    return f"{count:,} {agreeing(count, noun, plural or noun + 's')}"


def agreeing(count: int, one: str, several: str) -> str:
    """Return the words that agree with a number, such as `is` with 1 and `are` with all others."""
    return one if count == 1 else several


def quoted(path: str | Path) -> str:
    """Return a path as a shell takes it for one word, for a command to copy: in quotes if it has spaces."""
    return shlex.quote(str(path))
