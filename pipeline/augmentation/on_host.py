"""The changes of `augment`, made by OpenCV image by image: what a CPU trains with, because it is the fastest there.

Geometry and intensities are those of `augment.apply`, but for rounding to whole grey levels before gamma and contrast,
about 0.2 grey levels in the mean. The grain comes from another source: a table of Gaussian noise, from a place of it
that the image's key chooses. docs/explanation/speed.md compares the times.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.augmentation import augment
from pipeline.augmentation.sharpness_and_grain import SMOOTHING, reach_of
from pipeline.config import AugmentConfig

GREYS = np.maximum(np.arange(256, dtype=np.float32) / 255, 1e-6)
WARP = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
PLACES = 2**16
"""Places of the table of noise from which an image's grain can begin."""


@lru_cache(maxsize=8)  # compiling takes longer than an epoch of a small source
def sampler(config: AugmentConfig, image_size: int) -> Callable[[NDArray[np.float32]], augment.Changes]:
    """Return `augment.sample` compiled, from uniform numbers `[B, DRAWS]` to NumPy arrays."""
    compiled = tf.function(lambda uniform: augment.sample(uniform, config, image_size), jit_compile=True)
    return lambda uniform: augment.Changes(*(part if part is None else part.numpy() for part in compiled(uniform)))


def apply(images: NDArray[np.uint8], changes: augment.Changes, changed: NDArray[np.float32]) -> None:
    """Make the changes of each image.

    Args:
        images: uint8 `[B, T, T, 1]`, T at least S: the middle of them is what is changed.
        changes: from `sampler`, for the same B and S, as NumPy arrays.
        changed: float32 `[B, S, S, 1]`, receives the result, 0 to 255.
    """
    size, room = changed.shape[1], (images.shape[1] - changed.shape[1]) / 2
    square, middle = (size, size), (size - 1) / 2
    matrices: NDArray[np.float64] = changes.matrices.astype(np.float64)  # OpenCV counts from a corner, not the centre
    matrices[:, :, 2] += room + middle - matrices[:, :, :2].sum(axis=2) * middle
    tables = np.asarray(
        255 * ((GREYS[None, :] ** changes.gamma - 0.5) * changes.gain + 0.5 + changes.offset), np.float32
    )
    for row, image in enumerate(images):
        out = changed[row, :, :, 0]
        grey = cv2.warpAffine(image[:, :, 0], matrices[row], square, flags=WARP)
        if changes.sharpness is not None:
            grey = _sharpened(grey, float(changes.sharpness[row, 0]))
        cv2.LUT(grey, tables[row], dst=out)
        if changes.noise is not None:
            cv2.scaleAdd(_noise(size, int(changes.key[row, 0])), float(changes.noise[row, 0]), out, dst=out)
        np.clip(out, 0, 255, out=out)
    _erase(changed, changes.boxes)


def _sharpened(grey: NDArray[Any], amount: float) -> NDArray[Any]:
    """Do what `sharpness_and_grain.sharpen` does, within 0 to 255.

    By `sepFilter2D`, because `GaussianBlur` of OpenCV 5 takes 326 microseconds for 224 x 224 grey levels, and it 74.
    """
    kernel = _gaussian(len(grey))
    smooth = cv2.sepFilter2D(grey, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.addWeighted(grey, 1 + amount, smooth, -amount, 0))


@lru_cache(maxsize=4)
def _gaussian(size: int) -> NDArray[Any]:
    """Return the Gaussian that smooths images of side `size`, `[k, 1]`."""
    deviation = SMOOTHING * size
    return np.asarray(cv2.getGaussianKernel(2 * reach_of(deviation) + 1, deviation))


def _noise(size: int, key: int) -> NDArray[np.float32]:
    """Return Gaussian noise of deviation 1, `[size, size]`, the same for the same key."""
    start = key % PLACES
    return _table(size)[start : start + size * size].reshape(size, size)


@lru_cache(maxsize=4)
def _table(size: int) -> NDArray[np.float32]:
    return np.random.default_rng(size).standard_normal(PLACES + size * size, np.float32)


def _erase(changed: NDArray[np.float32], boxes: NDArray[np.float32]) -> None:
    """Blacken `boxes` `[B, 4]`, in place: the pixels whose centres lie in them."""
    size = changed.shape[1]
    for row in np.flatnonzero(boxes[:, 0] <= boxes[:, 2]):
        left, top, right, bottom = boxes[row] * size - 0.5
        down, across = slice(math.ceil(top), math.floor(bottom) + 1), slice(math.ceil(left), math.floor(right) + 1)
        changed[row, down, across] = 0.0
