"""The findings of an audit: facts about each image, duplicates, and leaks between splits or labels."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pneumo_tfds.sources.inventory import Image, Source
from pneumo_tfds.splits.assignment import Assignment


@dataclass(frozen=True)
class ImageFacts:
    """What reading and decoding one image showed."""

    image: Image
    error: str = ""
    """Why the image cannot be read; empty if it can."""
    sha256: str = ""
    hash: int = 0
    """Perceptual hash, 256 bits."""
    width: int = 0
    height: int = 0
    bits: int = 0
    mean: float = 0.0
    """Mean grey level, 0 to 255: the exposure."""
    spread: float = 0.0
    """Standard deviation of the grey levels: the contrast."""


@dataclass(frozen=True)
class Findings:
    """The result of an audit."""

    source: Source
    facts: tuple[ImageFacts, ...]
    assignment: Assignment | None
    """The splits that a build would make; None if it could not, and `problem` is the reason."""
    problem: str
    byte_identical: tuple[tuple[Image, ...], ...]
    near_identical: tuple[tuple[Image, ...], ...]

    def split_of(self, image: Image) -> str:
        """Return the split that a build would assign; the official one if no build is possible."""
        if self.assignment is None:
            return image.official_split or "none"
        return self.assignment.split.get(image.name, "dropped")

    @functools.cached_property
    def leaks(self) -> tuple[dict[str, Any], ...]:
        """Groups of identical or near-identical images that are in different splits or have different labels."""
        return (
            *self._leaks("byte-identical", self.byte_identical),
            *self._leaks("near-identical", self.near_identical),
        )

    def _leaks(self, kind: str, groups: Iterable[Sequence[Image]]) -> Iterator[dict[str, Any]]:
        for group in groups:
            labels = sorted({image.label for image in group})
            splits = sorted({self.split_of(image) for image in group} - {"dropped"})
            official = {image.official_split == "test" for image in group}
            names = [image.name for image in group]
            if len(labels) > 1 and kind == "byte-identical":
                yield {"kind": kind, "across": "labels", "values": labels, "names": names}
            if len(official) > 1:
                yield {"kind": kind, "across": "official test and training", "values": splits, "names": names}
            elif len(splits) > 1:
                yield {"kind": kind, "across": "splits", "values": splits, "names": names}
