"""The changes of `augment`, made by OpenCV on the host, for images that are decoded when they are needed.

One `warpAffine` and one table look-up for each image. Geometry and intensities are those of `augment.apply`; the warp
rounds to whole grey levels before gamma and contrast, so the two differ by about 0.2 grey levels in the mean. Sharpness
and grain are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.augmentation import augment
from pipeline.config import AugmentConfig

GREYS = np.maximum(np.arange(256, dtype=np.float32) / 255, 1e-6)
WARP = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@lru_cache(maxsize=8)  # compiling takes longer than an epoch of a small source
def sampler(config: AugmentConfig, image_size: int) -> Callable[[NDArray[np.float32]], augment.Changes]:
    """Return `augment.sample` compiled, from uniform numbers `[B, DRAWS]` to NumPy arrays."""
    compiled = tf.function(lambda uniform: augment.sample(uniform, config, image_size), jit_compile=True)
    return lambda uniform: augment.Changes(*(part if part is None else part.numpy() for part in compiled(uniform)))


def apply(images: NDArray[np.uint8], changes: augment.Changes) -> NDArray[np.float32]:
    """Make the changes (NumPy arrays) of images uint8 `[B, S, S, 1]`; return float32 `[B, S, S, 1]`, 0 to 255."""
    changed = np.empty(images.shape, np.float32)
    change = changer(changes, images.shape[1])
    for row, image in enumerate(images):
        change(row, image[:, :, 0], changed[row])
    return changed


def changer(changes: augment.Changes, size: int) -> Callable[[int, NDArray[Any], NDArray[np.float32]], None]:
    """Return a function that changes one image of a batch, which several threads may call for different images.

    Whatever the images of a batch have in common is computed once, because threads wait for each other's Python code.

    Args:
        changes: of the batch, as NumPy arrays.
        size: side S of the result, pixels.

    Returns:
        A function of the image's row in the batch, the image uint8 `[h, w]` of any size, and the float32 `[S, S, 1]`
        that receives the result. Scaling from `h x w` to `S x S` is part of the same bilinear warp: an image much
        larger than S has to be reduced by area averaging first.
    """
    square, middle = (size, size), (size - 1) / 2
    pixels: NDArray[np.float64] = changes.matrices.astype(np.float64)  # OpenCV counts from a corner, not the centre
    pixels[:, :, 2] += middle - pixels[:, :, :2].sum(axis=2) * middle
    matrices = {square: pixels}
    lit = (GREYS[None, :] ** changes.gamma - 0.5) * changes.gain + 0.5 + changes.offset
    tables = np.asarray(np.clip(lit, 0, 1) * 255, np.float32)
    erased = set(np.flatnonzero(changes.boxes[:, 0] <= changes.boxes[:, 2]).tolist())

    def change(row: int, grey: NDArray[Any], out: NDArray[np.float32]) -> None:
        shape = grey.shape
        if shape not in matrices:
            scale = np.array([[shape[1] / size], [shape[0] / size]])
            matrices[shape] = pixels * scale
            matrices[shape][:, :, 2] += (scale[:, 0] - 1) / 2
        cv2.LUT(cv2.warpAffine(grey, matrices[shape][row], square, flags=WARP), tables[row], dst=out)
        if row in erased:
            left, top, right, bottom = changes.boxes[row]
            part = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
            out[np.ix_((part >= top) & (part <= bottom), (part >= left) & (part <= right))] = 0.0

    return change
