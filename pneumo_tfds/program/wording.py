"""Numbers in messages."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 image`, `1,234 images`; `plural` if it does not end in `s`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
