"""Augmentation in the training step of a GPU: one warp, one pass over the intensities, sharpness and grain.

Random numbers are drawn on the host from (seed, step) alone, so that a step sees the same batch after a restart and on
every machine. `sample` turns them into the changes of each image, `apply` makes these changes. Both are `keras.ops`:
they compile with XLA and run on every Keras backend. They are not part of the network, so an exported file cannot
contain them.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.augmentation import sharpness_and_grain
from pipeline.config import AugmentConfig

DRAWS = 24  # uniform numbers for each image; a few are spare, so that a new change need not shift the others
ERASE_AREA = (0.02, 0.2)  # smallest and largest part of the image that is erased (Zhong et al. 2020, "Random Erasing")


# The use of each uniform number of an image, by its column.
Draw = IntEnum(
    "Draw",
    "FLIP ROTATION SHEAR ZOOM ASPECT SHIFT_RIGHT SHIFT_DOWN CONTRAST BRIGHTNESS GAMMA "
    "ERASE ERASE_AREA ERASE_LEFT ERASE_TOP SHARPNESS NOISE GRAIN MIXUP SWAP SWAP_WITH SWAP_PART",
    start=0,
)


class Changes(NamedTuple):
    """The changes of each of B images."""

    matrices: Any
    """float32 `[B, 2, 3]`: maps an output pixel (x, y, 1) to its source, both in pixels from the centre."""
    gain: Any
    """float32 `[B, 1]`: factor by which intensities are spread around mid-grey."""
    offset: Any
    """float32 `[B, 1]`: added after that, fraction of full white."""
    gamma: Any
    """float32 `[B, 1]`: exponent of the intensity, applied first."""
    boxes: Any
    """float32 `[B, 4]`: left, top, right, bottom of the erased rectangle, fractions of the side; none if left > 1."""
    sharpness: Any = None
    """float32 `[B, 1]`: see `sharpness_and_grain.sharpen`; None changes nothing."""
    noise: Any = None
    """float32 `[B, 1]`: standard deviation of the grain, grey levels; None adds none."""
    key: Any = None
    """int32 `[B, 1]`: key of the grain's random numbers."""


def draw(seed: int, step: int, batch_size: int) -> NDArray[np.float32]:
    """Draw the random numbers of one step, `[batch_size, DRAWS]` float32 in [0, 1), from (seed, step) alone.

    Philox is counter-based (Salmon et al. 2011): equal keys give equal numbers, different steps independent ones.
    """
    return np.random.Generator(np.random.Philox(key=[seed, step])).random((batch_size, DRAWS), dtype=np.float32)


def sample(uniform: Any, config: AugmentConfig, image_size: int) -> Changes:
    """Turn uniform numbers `[B, DRAWS]` into changes within the ranges of `config`."""

    def spread(column: Draw, reach: float) -> Any:
        return (2 * uniform[:, column] - 1) * reach

    def factor(column: Draw, reach: float) -> Any:
        return ops.exp(spread(column, math.log1p(reach)))

    mirror = ops.where(uniform[:, Draw.FLIP] < config.flip, -1.0, 1.0)
    angle, shear = spread(Draw.ROTATION, math.radians(config.rotation)), spread(Draw.SHEAR, math.radians(config.shear))
    scale, aspect = factor(Draw.ZOOM, config.zoom), ops.sqrt(factor(Draw.ASPECT, config.aspect))
    right = spread(Draw.SHIFT_RIGHT, config.shift * image_size)
    down = spread(Draw.SHIFT_DOWN, config.shift * image_size)

    # Output to source: undo the shift, then rotate, shear, scale and mirror about the centre.
    cos, sin, tan = ops.cos(angle), ops.sin(angle), ops.tan(shear)
    wide, high = mirror / (scale * aspect), aspect / scale
    a, b = cos * wide, (cos * tan - sin) * wide
    c, d = sin * high, (sin * tan + cos) * high
    matrices = ops.stack([a, b, -(a * right + b * down), c, d, -(c * right + d * down)], axis=1)

    erased = uniform[:, Draw.ERASE] < config.random_erasing
    side = ops.sqrt(ERASE_AREA[0] + uniform[:, Draw.ERASE_AREA] * (ERASE_AREA[1] - ERASE_AREA[0]))
    left, top = uniform[:, Draw.ERASE_LEFT] * (1 - side), uniform[:, Draw.ERASE_TOP] * (1 - side)

    detail = spread(Draw.SHARPNESS, config.sharpness)
    return Changes(
        matrices=ops.reshape(matrices, (-1, 2, 3)),
        gain=factor(Draw.CONTRAST, config.contrast)[:, None],
        offset=spread(Draw.BRIGHTNESS, config.brightness)[:, None],
        gamma=factor(Draw.GAMMA, config.gamma)[:, None],
        boxes=ops.stack([ops.where(erased, left, 2.0), top, left + side, top + side], axis=1),
        # Doubled above 0: images can be sharpened by more than 1, but not blurred by more.
        sharpness=(detail + ops.maximum(detail, 0.0))[:, None] if config.sharpness else None,
        noise=uniform[:, Draw.NOISE, None] * config.noise if config.noise else None,
        key=ops.cast(uniform[:, Draw.GRAIN, None] * 2**24, "int32") if config.noise else None,
    )


def blend(images: Any, targets: Any, uniform: Any, largest: float) -> tuple[Any, Any]:
    """Blend each image and its target with the next of the batch (Zhang et al. 2018, "mixup", with uniform weights).

    Args:
        images: float32 `[B, S, S, 1]`.
        targets: float32 `[B, K]`.
        uniform: `[B, DRAWS]`, from `draw`.
        largest: largest weight of the other image, 0 to 0.5; each image draws its own, evenly from 0.
    """
    share = uniform[:, Draw.MIXUP, None] * largest
    other_images, other_targets = ops.roll(images, 1, axis=0), ops.roll(targets, 1, axis=0)
    return images + share[:, :, None, None] * (other_images - images), targets + share * (other_targets - targets)


def apply(images: Any, changes: Changes, size: int | None = None) -> Any:
    """Make the changes of each image.

    Args:
        images: uint8 or float32 `[B, T, T, 1]`, values 0 to 255.
        changes: from `sample`, for the same B.
        size: side S of the result, the middle of the images, at most T; None for T.

    Returns:
        float32 `[B, S, S, 1]`, values 0 to 255. What comes from outside the source is black.
    """
    grey = _warp(images, changes.matrices, size or images.shape[1])
    if changes.sharpness is not None:
        grey = ops.clip(sharpness_and_grain.sharpen(grey, changes.sharpness[:, :, None]), 0, 255)
    return _erase(_intensities(grey, changes), changes.boxes)[..., None]


def _warp(images: Any, matrices: Any, size: int) -> Any:
    """Return `[B, size, size]`, each pixel sampled where `matrices` `[B, 2, 3]` say."""
    middle = (images.shape[1] - 1) / 2
    centred = ops.arange(size, dtype="float32") - (size - 1) / 2
    x, y = centred[None, None, :], centred[None, :, None]
    rows = matrices[:, :, :, None, None]
    return _bilinear(
        images,
        rows[:, 0, 0] * x + rows[:, 0, 1] * y + rows[:, 0, 2] + middle,
        rows[:, 1, 0] * x + rows[:, 1, 1] * y + rows[:, 1, 2] + middle,
    )


def _intensities(grey: Any, changes: Changes) -> Any:
    """Apply gamma, contrast, brightness and grain to `[B, S, S]`, values 0 to 255."""
    # As exp(gamma log x): XLA calls the C library for `power` once a pixel, but vectorizes these two
    # (docs/explanation/speed.md).
    lit = ops.exp(changes.gamma[:, :, None] * ops.log(ops.maximum(grey / 255, 1e-6)))
    lit = (lit - 0.5) * changes.gain[:, :, None] + 0.5 + changes.offset[:, :, None]
    if changes.noise is not None:
        lit = sharpness_and_grain.grain(lit, changes.noise[:, :, None] / 255, changes.key[:, :, None])
    return ops.clip(lit, 0, 1) * 255


def _erase(grey: Any, boxes: Any) -> Any:
    """Blacken `boxes` `[B, 4]` of `[B, S, S]`."""
    size = grey.shape[1]
    part = (ops.arange(size, dtype="float32") + 0.5) / size
    # Reshaped first: sliced with new axes in one go, TensorFlow's graph optimizer loses the new axes.
    left, top, right, bottom = (edge[:, 0] for edge in ops.split(ops.reshape(boxes, (-1, 4, 1, 1)), 4, axis=1))
    across, along = part[None, None, :], part[None, :, None]
    erased = (across >= left) & (across <= right) & (along >= top) & (along <= bottom)
    return ops.where(erased, 0.0, grey)


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
