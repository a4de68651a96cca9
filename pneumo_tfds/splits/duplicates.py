"""Find byte-identical images, reading as little as possible."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

from pneumo_tfds.decode import decode
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.parallel import ordered_map
from pneumo_tfds.sources.inventory import Image, Source

GLANCE = 32
"""Pixels a side in which it is seen whether a file holds a picture."""


def identical_groups(source: Source) -> list[tuple[Image, ...]]:
    """Return groups of two or more images whose files are equal byte for byte and hold a picture.

    Equal files without one, such as the same error page of a server or blank images, say nothing about patients and
    labels; the build names them among the unreadable.

    Only files of equal size (and CRC-32, if an archive lists it) can be equal, so only those are read and hashed with
    SHA-256. A file that cannot be read is in no group; the build reports it later.
    """
    candidates: dict[tuple[int, int], list[Image]] = defaultdict(list)
    for image in source.images:
        if image.size > 0:
            candidates[image.size, image.checksum].append(image)
    suspects = [image for group in candidates.values() if len(group) > 1 for image in group]

    def digest(image: Image) -> bytes | None:
        with suppress(InputError):
            return hashlib.sha256(source.read(image)).digest()
        return None

    def is_picture(group: tuple[Image, ...]) -> bool:
        with suppress(InputError):
            decode(source.read(group[0]), GLANCE, group[0].name)
            return True
        return False

    groups = group_by_digest(zip(suspects, ordered_map(digest, suspects), strict=True))
    return [group for group, holds in zip(groups, ordered_map(is_picture, groups), strict=True) if holds]


def group_by_digest(images: Iterable[tuple[Image, bytes | str | None]]) -> list[tuple[Image, ...]]:
    """Return groups of two or more images with equal digests, in order of names."""
    groups: dict[bytes | str, list[Image]] = defaultdict(list)
    for image, key in images:
        if key is not None:
            groups[key].append(image)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def check_labels(groups: Iterable[tuple[Image, ...]]) -> None:
    """Raise InputError if a group of identical images has both labels: one of the labels is wrong."""
    for group in groups:
        if len({image.label for image in group}) > 1:
            names = " and ".join(f"{image.name} ({image.label})" for image in group)
            raise InputError(f"{names} are the same image with different labels; remove the wrong one")
