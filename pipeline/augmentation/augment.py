"""Augmentation on the training device: one warp, one pass over the intensities, and what sharpness and grain take.

Random numbers are drawn on the host from (seed, step) alone, so a step sees the same batch after a restart and on every
machine. `sample` turns them into what happens to each image, `apply` does it. Both are `keras.ops`: they compile with
XLA and run on every Keras backend. None of it is in the network, so none of it can reach an exported file.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.augmentation import sharpness_and_grain
from pipeline.config import AugmentConfig

DRAWS = 24  # uniform numbers an image uses; a few spare, so that a new change need not shift the others
ERASE_AREA = (0.02, 0.2)  # smallest and largest part of the image that is blanked (Zhong et al. 2020, "Random Erasing")


class Changes(NamedTuple):
    """What happens to each of B images."""

    matrices: Any
    """float32 `[B, 2, 3]`: where in the source, in pixels from its centre, an output pixel (x, y, 1) comes from."""
    gain: Any
    """float32 `[B, 1]`: intensities spread around mid-grey by this factor."""
    offset: Any
    """float32 `[B, 1]`: added after that, fraction of full white."""
    gamma: Any
    """float32 `[B, 1]`: exponent of the intensity, taken first."""
    boxes: Any
    """float32 `[B, 4]`: left, top, right, bottom of the blanked rectangle, fractions of the side; none if left > 1."""
    sharpness: Any = None
    """float32 `[B, 1]`: see `texture.sharpen`; None leaves all as they are."""
    noise: Any = None
    """float32 `[B, 1]`: deviation of the grain, grey levels; None adds none."""
    key: Any = None
    """int32 `[B, 1]`: which grain."""


def draw(seed: int, step: int, batch_size: int) -> NDArray[np.float32]:
    """Draw the random numbers of one step, `[batch_size, DRAWS]` float32 in [0, 1), from (seed, step) alone.

    Philox is counter-based (Salmon et al. 2011): equal keys give equal numbers, different steps independent ones.
    """
    return np.random.Generator(np.random.Philox(key=[seed, step])).random((batch_size, DRAWS), dtype=np.float32)


def sample(uniform: Any, config: AugmentConfig, image_size: int) -> Changes:
    """Turn uniform numbers `[B, DRAWS]` into changes, within the ranges of `config`."""

    def spread(column: int, reach: float) -> Any:
        return (2 * uniform[:, column] - 1) * reach

    def factor(column: int, reach: float) -> Any:
        return ops.exp(spread(column, math.log1p(reach)))

    mirror = ops.where(uniform[:, 0] < config.flip, -1.0, 1.0)
    angle, shear = spread(1, math.radians(config.rotation)), spread(2, math.radians(config.shear))
    scale, aspect = factor(3, config.zoom), ops.sqrt(factor(4, config.aspect))
    right, down = spread(5, config.shift * image_size), spread(6, config.shift * image_size)

    # Output to source: undo the shift, then rotate, shear, scale and mirror about the centre.
    cos, sin, tan = ops.cos(angle), ops.sin(angle), ops.tan(shear)
    wide, high = mirror / (scale * aspect), aspect / scale
    a, b = cos * wide, (cos * tan - sin) * wide
    c, d = sin * high, (sin * tan + cos) * high
    matrices = ops.stack([a, b, -(a * right + b * down), c, d, -(c * right + d * down)], axis=1)

    erased = uniform[:, 10] < config.random_erasing
    side = ops.sqrt(ERASE_AREA[0] + uniform[:, 11] * (ERASE_AREA[1] - ERASE_AREA[0]))
    left, top = uniform[:, 12] * (1 - side), uniform[:, 13] * (1 - side)
    boxes = ops.stack([ops.where(erased, left, 2.0), top, left + side, top + side], axis=1)
    return Changes(
        ops.reshape(matrices, (-1, 2, 3)),
        factor(7, config.contrast)[:, None],
        spread(8, config.brightness)[:, None],
        factor(9, config.gamma)[:, None],
        boxes,
        _lopsided(spread(14, config.sharpness))[:, None] if config.sharpness else None,
        uniform[:, 15, None] * config.noise if config.noise else None,
        ops.cast(uniform[:, 16, None] * 2**24, "int32") if config.noise else None,
    )


def blend(images: Any, targets: Any, uniform: Any, largest: float) -> tuple[Any, Any]:
    """Blend each image, and its target, with the next of the batch (Zhang et al. 2018, "mixup", with even shares).

    Args:
        images: float32 `[B, S, S, 1]`.
        targets: float32 `[B, 1]`.
        uniform: `[B, DRAWS]`, from `draw`.
        largest: share of the other image, 0 to 0.5; each image's is drawn evenly from 0 up.
    """
    share = uniform[:, 17, None] * largest
    other_images, other_targets = ops.roll(images, 1, axis=0), ops.roll(targets, 1, axis=0)
    return images + share[:, :, None, None] * (other_images - images), targets + share * (other_targets - targets)


def _lopsided(amount: Any) -> Any:
    """Double what is above 0: sharpening passes 1 easily, and blur cannot."""
    return amount + ops.maximum(amount, 0.0)


def apply(images: Any, changes: Changes) -> Any:
    """Change each image as `changes` says.

    Args:
        images: uint8 or float32 `[B, S, S, 1]`, values 0 to 255.
        changes: from `sample`, for the same B.

    Returns:
        float32 `[B, S, S, 1]`, values 0 to 255. What comes from outside the source is black.
    """
    size = images.shape[1]
    centred = ops.arange(size, dtype="float32") - (size - 1) / 2
    x, y = centred[None, None, :], centred[None, :, None]
    rows = changes.matrices[:, :, :, None, None]
    grey = _bilinear(
        images,
        rows[:, 0, 0] * x + rows[:, 0, 1] * y + rows[:, 0, 2] + (size - 1) / 2,
        rows[:, 1, 0] * x + rows[:, 1, 1] * y + rows[:, 1, 2] + (size - 1) / 2,
    )
    if changes.sharpness is not None:
        grey = ops.clip(sharpness_and_grain.sharpen(grey, changes.sharpness[:, :, None]), 0, 255)
    # As exp(gamma log x): XLA calls the C library for `power` once a pixel, but vectorizes these two
    # (docs/explanation/speed.md).
    lit = ops.exp(changes.gamma[:, :, None] * ops.log(ops.maximum(grey / 255, 1e-6)))
    lit = (lit - 0.5) * changes.gain[:, :, None] + 0.5 + changes.offset[:, :, None]
    if changes.noise is not None:
        lit = sharpness_and_grain.grain(lit, changes.noise[:, :, None] / 255, changes.key[:, :, None])
    part = (ops.arange(size, dtype="float32") + 0.5) / size
    # Reshaped first: sliced with new axes in one go, TensorFlow's graph optimizer loses the new axes.
    left, top, right, bottom = (edge[:, 0] for edge in ops.split(ops.reshape(changes.boxes, (-1, 4, 1, 1)), 4, axis=1))
    across, along = part[None, None, :], part[None, :, None]
    blanked = (across >= left) & (across <= right) & (along >= top) & (along <= bottom)
    return ops.where(blanked, 0.0, ops.clip(lit, 0, 1) * 255)[..., None]


def _bilinear(images: Any, x: Any, y: Any) -> Any:
    """Sample `images` `[B, S, S, 1]` at source pixels `x`, `y` `[B, S, S]`; black outside. XLA fuses its gathers."""
    size = images.shape[1]
    left, top = ops.floor(x), ops.floor(y)
    x_weight, y_weight = x - left, y - top
    column, row = ops.cast(left, "int32"), ops.cast(top, "int32")
    first = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None] * (size * size)
    flat = ops.reshape(images, (-1,))

    def corner(row: Any, column: Any, weight: Any) -> Any:
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        place = first + ops.clip(row, 0, size - 1) * size + ops.clip(column, 0, size - 1)
        return ops.where(inside, ops.cast(ops.take(flat, place), "float32") * weight, 0.0)

    upper = corner(row, column, (1 - y_weight) * (1 - x_weight)) + corner(row, column + 1, (1 - y_weight) * x_weight)
    lower = corner(row + 1, column, y_weight * (1 - x_weight)) + corner(row + 1, column + 1, y_weight * x_weight)
    return upper + lower
