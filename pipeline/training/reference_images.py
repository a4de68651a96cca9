"""Training images that a model's familiarity is fitted on: half as they are, half changed at random.

Only with changed ones among them are images of another exposure, sharpness or framing not refused. The changes are
wider than those of training, and add a loss of resolution, of which `pipeline.augmentation` has little. Small networks
are also shown what is wrong: X-rays turned, inverted, cut to pieces, or only a small part of one. All are shown X-rays
without their upper or lower part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.augmentation import augment, on_host
from pipeline.config import AugmentConfig
from pipeline.data.split import Split

LARGEST = 4000
"""Images. 3,538 and four times as many separate equally well."""
BATCH = 64
AT_ONCE = 8 * BATCH
"""Images that are read at once: 26 MB at 224 pixels."""
CHANGES = AugmentConfig(zoom=0.4, aspect=0.35, shift=0.12, rotation=12.0)
COARSEST = 0.2
"""Smallest scale to which a changed image is reduced and enlarged again; half of them keep their resolution."""


def reference_rows(count: int, seed: int) -> NDArray[np.int64]:
    """Return which of `count` training images to take: at most `LARGEST` row numbers, drawn at random, in order."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:LARGEST])


def reference_images(train: Split, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield batches uint8 `[b, S, S, 1]` of the training images that `reference_rows` chooses.

    The odd ones of a batch are changed. Equal seeds give equal images.
    """
    rows = reference_rows(train.count, seed)
    sample = on_host.sampler(CHANGES, train.image_size)
    for start in range(0, len(rows), BATCH):
        if start % AT_ONCE == 0:
            images = train.take(rows[start : start + AT_ONCE]).images  # copies
        batch = images[start % AT_ONCE :][:BATCH]
        odd = batch[1::2]
        if len(odd):
            changed = np.empty(odd.shape, np.float32)
            on_host.apply(odd, sample(augment.draw(seed, start, len(odd))), changed)
            levels = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
            generator = np.random.default_rng([seed, start])
            batch[1::2] = np.stack([_coarser(image, generator.uniform(-1, 1)) for image in levels])
        yield batch


def _coarser(image: NDArray[np.uint8], draw: float) -> NDArray[np.uint8]:
    """Reduce the resolution of `[S, S, 1]`, by nothing for a draw below 0 and down to `COARSEST` for 1."""
    if draw <= 0:
        return image
    size = len(image)
    side = max(round(size * (1 - draw * (1 - COARSEST))), 8)
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)[..., None]


def wrong(batch: NDArray[np.uint8], generator: Generator) -> NDArray[np.uint8]:
    """Return what no X-ray of a chest looks like, made of a batch uint8 `[b, S, S, 1]`: uint8 `[b, S, S, 1]`.

    Each is turned, upside down, inverted, inverted and turned, cut to pieces in another order, or a small part.
    """
    kinds = generator.integers(0, len(MISTAKES), len(batch))
    return np.stack([MISTAKES[kind](image, generator) for kind, image in zip(kinds, batch, strict=True)])


CUT = (0.25, 0.5)
"""How much of an image is cut away, a fraction of its height, drawn evenly."""


def cut(batch: NDArray[np.uint8], generator: Generator, part: Literal["upper", "lower"]) -> NDArray[np.uint8]:
    """Return a batch uint8 `[b, S, S, 1]` without the upper or lower part of each image, enlarged to its size."""
    size = batch.shape[1]
    gone = np.round(size * generator.uniform(*CUT, len(batch))).astype(int)
    left = (image[rows:] if part == "upper" else image[:-rows] for image, rows in zip(batch, gone, strict=True))
    return np.stack([cv2.resize(image, (size, size)) for image in left])[..., None]


def _turned(image: NDArray[np.uint8], generator: Generator) -> NDArray[np.uint8]:
    return np.rot90(image, int(generator.integers(1, 4)))


def _in_pieces(image: NDArray[np.uint8], generator: Generator) -> NDArray[np.uint8]:
    across = int(generator.integers(2, 4))
    side = len(image) // across
    places = [(place // across * side, place % across * side) for place in range(across * across)]
    mixed = image.copy()
    for (row, column), place in zip(places, generator.permutation(len(places)), strict=True):
        top, left = places[place]
        mixed[row : row + side, column : column + side] = image[top : top + side, left : left + side]
    return mixed


def _small_part(image: NDArray[np.uint8], generator: Generator) -> NDArray[np.uint8]:
    size = len(image)
    side = round(size * generator.uniform(0.2, 0.45))
    top, left = generator.integers(0, size - side, 2)
    part = image[top : top + side, left : left + side]
    return np.asarray(cv2.resize(part, (size, size)), np.uint8)[..., None]


MISTAKES: tuple[Callable[[NDArray[np.uint8], Generator], NDArray[np.uint8]], ...] = (
    _turned,
    lambda image, generator: image[::-1],
    lambda image, generator: 255 - image,
    lambda image, generator: _turned(255 - image, generator),
    _in_pieces,
    _small_part,
)
