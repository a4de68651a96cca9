"""Training images that a model's familiarity is fitted on: half as they are, half changed at random.

Only with changed ones among them are images of another exposure, sharpness or framing not refused. The changes are
wider than those of training, and add a loss of resolution, of which `pipeline.augmentation` has little.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.augmentation import augment, on_host
from pipeline.config import AugmentConfig

LARGEST = 4000
"""Images. 3,538 and four times as many separate equally well."""
BATCH = 64
CHANGES = AugmentConfig(zoom=0.4, aspect=0.35, shift=0.12, rotation=12.0)
COARSEST = 0.2
"""Smallest scale to which a changed image is reduced and enlarged again; half of them keep their resolution."""


def reference_images(images: NDArray[np.uint8], seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield batches uint8 `[b, S, S, 1]` of at most `LARGEST` of the training images uint8 `[n, S, S, 1]`.

    Every second one is changed. Equal seeds give equal images.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:LARGEST])
    size = images.shape[1]
    sample = on_host.sampler(CHANGES, size)
    for start in range(0, len(chosen), BATCH):
        batch = images[chosen[start : start + BATCH]]  # a copy
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
