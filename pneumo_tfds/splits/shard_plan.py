"""Plan what a build writes before the first image is decoded: splits, shards, and the order within them.

The order is by a hash of the names. So records need no shuffling on their way to disk, and shards come out the same
byte for byte whether they are written one after the other or on many machines.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from pneumo_tfds.sources.inventory import Image, Source
from pneumo_tfds.splits.assignment import SPLITS, Assignment, assign
from pneumo_tfds.splits.duplicates import check_labels, identical_groups
from pneumo_tfds.splits.options import SplitOptions

MIN_SHARD_BYTES = 32 << 20
"""Small enough that a few thousand images make several shards, which are read in parallel."""

MAX_SHARD_BYTES = 256 << 20
"""TFDS's shard writer holds the examples of one shard until it is closed, so this bounds a worker's memory."""

USUAL_SHARDS = 1024

_RECORD_OVERHEAD = 400


@dataclass(frozen=True)
class Plan:
    """Which image is written to which shard."""

    shards: dict[str, tuple[tuple[Image, ...], ...]]
    """Split to its shards; each shard is its images in the order of their records."""
    assignment: Assignment
    identical: list[tuple[Image, ...]]
    """Groups of byte-identical images."""

    def images(self, *splits: str) -> list[Image]:
        """Return the images of some splits, or of all, in the order of their records."""
        return [image for split in splits or self.shards for shard in self.shards[split] for image in shard]

    def count_by(self, attribute: str) -> dict[str, dict[str, int]]:
        """Return the number of images by split and by `label` or `subtype`."""
        return {
            split: dict(sorted(Counter(getattr(image, attribute) for image in self.images(split)).items()))
            for split in self.shards
        }


def make_plan(source: Source, image_size: int, options: SplitOptions, max_per_split: int | None = None) -> Plan:
    """Assign every image of `source` to a split and a shard, at most `max_per_split` images to each split.

    The number of shards follows from `image_size`, pixels a side.

    Raises:
        InputError: identical images have different labels, or a split has no image of one of the classes.
    """
    groups = identical_groups(source)
    check_labels(groups)
    assignment = assign(source.images, groups, options, source.validation)
    shards = {}
    for name in SPLITS:
        images = [image for image in source.images if assignment.split.get(image.name) == name]
        ordered = sorted(images, key=lambda image: hashlib.sha256(image.name.encode()).digest())[:max_per_split]
        if ordered:
            shards[name] = _cut(ordered, number_of_shards(len(ordered), image_size))
    return Plan(shards, assignment, groups)


def number_of_shards(images: int, image_size: int) -> int:
    """Return how many shards hold so many images: one for every 32 MiB up to 1,024, then one for every 256 MiB."""
    size = images * (image_size * image_size + _RECORD_OVERHEAD)
    return max(1, min(size // MIN_SHARD_BYTES, USUAL_SHARDS), -(-size // MAX_SHARD_BYTES))


def _cut(images: list[Image], shards: int) -> tuple[tuple[Image, ...], ...]:
    shards = min(shards, len(images))
    edges = [round(len(images) * index / shards) for index in range(shards + 1)]
    return tuple(tuple(images[start:end]) for start, end in pairwise(edges))
