"""What a build will write, decided before the first image is decoded: splits, shards, and the order within them.

Because the order is a hash of the names, records need no shuffling on their way to disk, shards can be written one
after the other or on many machines, and the bytes come out the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from pneumo_tfds.sources.inventory import Image, Source
from pneumo_tfds.splits.assignment import SPLITS, TEST_FRACTION, assign
from pneumo_tfds.splits.duplicates import check_labels, identical_groups

MIN_SHARD_BYTES = 32 << 20
"""Small enough that a few thousand images already make several shards to read in parallel."""

MAX_SHARD_BYTES = 256 << 20
"""TFDS's shard writer holds the examples of one shard until it is closed, so this bounds a worker's memory."""

USUAL_SHARDS = 1024

_RECORD_OVERHEAD = 400


@dataclass(frozen=True)
class Options:
    """What a user may choose about the splits of a source."""

    validation_fraction: float = 0.2
    """Share of the training patients that validate."""
    test_fraction: float = TEST_FRACTION
    """Share of all patients that test, used only where the source has no test folder."""


@dataclass(frozen=True)
class Plan:
    """The answer: which image goes where."""

    shards: dict[str, tuple[tuple[Image, ...], ...]]
    """Split to its shards, each with its images in the order of their records."""
    dropped: dict[str, str]
    """Image name to the reason why it is left out."""
    identical: tuple[tuple[str, ...], ...]
    """Names of byte-identical images, in groups."""
    test_origin: str
    """`official` or `carved`."""

    @property
    def total(self) -> int:
        """Number of images to decode."""
        return sum(len(shard) for shards in self.shards.values() for shard in shards)


def make_plan(source: Source, image_size: int, options: Options, limit: int | None = None) -> Plan:
    """Assign every image of `source` to a split and a shard.

    Args:
        source: what `open_source` found.
        image_size: pixels a side, from which the number of shards follows.
        options: of the splits.
        limit: at most so many images of each split, for trials.

    Raises:
        InputError: identical images with different labels, or a split without one of the classes.
    """
    groups = identical_groups(source)
    check_labels(groups)
    assignment = assign(source.images, groups, options.validation_fraction, options.test_fraction)
    members: dict[str, list[Image]] = {name: [] for name in SPLITS}
    for image in source.images:
        if image.name in assignment.split:
            members[assignment.split[image.name]].append(image)
    shards = {}
    for name, images in members.items():
        ordered = sorted(images, key=_order)[:limit]
        shards[name] = _cut(ordered, number_of_shards(len(ordered), image_size))
    identical = tuple(tuple(image.name for image in group) for group in groups)
    return Plan(shards, assignment.dropped, identical, assignment.test_origin)


def number_of_shards(images: int, image_size: int) -> int:
    """Shards of 32 to 256 MiB: one more for every 32 MiB up to 1,024, beyond that one for every 256 MiB."""
    size = images * (image_size * image_size + _RECORD_OVERHEAD)
    return max(1, min(size // MIN_SHARD_BYTES, USUAL_SHARDS), -(-size // MAX_SHARD_BYTES))


def count_by(plan: Plan, attribute: str) -> dict[str, dict[str, int]]:
    """Number of planned images by split and by `label` or `subtype`."""
    return {
        split: dict(sorted(Counter(getattr(image, attribute) for shard in shards for image in shard).items()))
        for split, shards in plan.shards.items()
    }


def _order(image: Image) -> bytes:
    return hashlib.sha256(image.name.encode()).digest()


def _cut(images: list[Image], shards: int) -> tuple[tuple[Image, ...], ...]:
    shards = max(1, min(shards, len(images)))
    edges = [round(len(images) * index / shards) for index in range(shards + 1)]
    return tuple(tuple(images[start:end]) for start, end in pairwise(edges))
