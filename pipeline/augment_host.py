"""The changes of `pipeline.augment`, applied by OpenCV on the host: for images that are decoded as they are needed.

One `warpAffine` and one table look-up an image. Geometry and intensities are those of `augment.apply`; the warp rounds
to whole grey levels before gamma and contrast, so the two differ by about 0.2 grey levels in the mean. Sharpness and
grain, which need every pixel's neighbours or a number of its own, are not done here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline import augment
from pipeline.config import AugmentConfig

GREYS = np.maximum(np.arange(256, dtype=np.float32) / 255, 1e-6)
WARP = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@lru_cache(maxsize=8)  # compiling takes longer than an epoch of a small source
def sampler(config: AugmentConfig, image_size: int) -> Callable[[NDArray[np.float32]], augment.Changes]:
    """Give `augment.sample` compiled, from uniform numbers `[B, DRAWS]` to NumPy arrays."""
    compiled = tf.function(lambda uniform: augment.sample(uniform, config, image_size), jit_compile=True)
    return lambda uniform: augment.Changes(*(part if part is None else part.numpy() for part in compiled(uniform)))


def apply(images: NDArray[np.uint8], changes: augment.Changes) -> NDArray[np.float32]:
    """Change each of uint8 `[B, S, S, 1]` as NumPy `changes` say; float32 `[B, S, S, 1]`, 0 to 255."""
    changed = np.empty(images.shape, np.float32)
    matrices, tables = pixel_matrices(changes, images.shape[1]), intensities(changes)
    for row, image in enumerate(images):
        change_one(image[:, :, 0], matrices[row], tables[row], changes.boxes[row], changed[row])
    return changed


def change_one(
    grey: NDArray[Any],
    matrix: NDArray[np.float64],
    table: NDArray[np.float32],
    box: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Change one image uint8 `[h, w]` of any size into float32 `out` `[S, S, 1]`.

    Scaling from `h x w` to `S x S` is part of the same warp, which samples bilinearly: an image much larger than `out`
    has to be brought near its size by area averaging first.

    Args:
        grey: the image.
        matrix: its row of `pixel_matrices` for S.
        table: its row of `intensities`.
        box: its row of `Changes.boxes`.
        out: where the result is put.
    """
    size = out.shape[0]
    if grey.shape != (size, size):
        across, down = grey.shape[1] / size, grey.shape[0] / size
        matrix = matrix * ((across,), (down,)) + ((0, 0, (across - 1) / 2), (0, 0, (down - 1) / 2))
    cv2.LUT(cv2.warpAffine(grey, matrix, (size, size), flags=WARP), table, dst=out)
    left, top, right, bottom = box
    if left <= right:
        part = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
        out[np.ix_((part >= top) & (part <= bottom), (part >= left) & (part <= right))] = 0.0


def pixel_matrices(changes: augment.Changes, size: int) -> NDArray[np.float64]:
    """Give `changes.matrices` for pixel coordinates that begin at a corner of the square, as OpenCV wants them."""
    middle = (size - 1) / 2
    matrices: NDArray[np.float64] = changes.matrices.astype(np.float64)
    matrices[:, :, 2] += middle - matrices[:, :, :2].sum(axis=2) * middle
    return matrices


def intensities(changes: augment.Changes) -> NDArray[np.float32]:
    """Give what each grey level becomes in each image, float32 `[B, 256]`."""
    lit = (GREYS[None, :] ** changes.gamma - 0.5) * changes.gain + 0.5 + changes.offset
    return np.asarray(np.clip(lit, 0, 1) * 255, np.float32)
