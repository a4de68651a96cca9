"""What an audit knows: each image as it was seen, and what the whole source amounts to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pneumo_tfds.sources.inventory import Image, Source
from pneumo_tfds.splits.assignment import Assignment


@dataclass(frozen=True)
class Seen:
    """One image after it was looked at."""

    image: Image
    error: str = ""
    sha256: str = ""
    hash: int = 0
    """Perceptual hash, 64 bits."""
    width: int = 0
    height: int = 0
    bits: int = 0
    mean: float = 0.0
    """Mean grey level, 0 to 255: the exposure."""
    spread: float = 0.0
    """Standard deviation of the grey levels."""


@dataclass(frozen=True)
class Findings:
    """The answer of an audit, before it is written."""

    source: Source
    seen: tuple[Seen, ...]
    assignment: Assignment | None
    """None where no split can be made; `problem` says why."""
    problem: str
    byte_identical: tuple[tuple[Image, ...], ...]
    near_identical: tuple[tuple[Image, ...], ...]
    leaks: tuple[dict[str, Any], ...] = field(default=())

    def split_of(self, image: Image) -> str:
        """The split a build would give; the official one where none can be made."""
        if self.assignment is None:
            return image.official_split or "none"
        return self.assignment.split.get(image.name, "dropped")
