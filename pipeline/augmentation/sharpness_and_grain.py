"""Sharpness and grain of a batch of images: the changes that need a pixel's neighbours, or a random number for each.

Both are `keras.ops`, so that they compile with XLA and run on every Keras backend.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

SMOOTHING = 0.016  # deviation of the Gaussian of `sharpen`, fraction of the side
REACH = 2.5  # deviations at which that Gaussian is truncated
# lowbias32 by C. Wellons (hash-prospector, public domain): multipliers of a 32-bit integer hash with little bias.
HASH_MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
BYTES_MEAN, BYTES_DEVIATION = 510.0, math.sqrt(4 * (256**2 - 1) / 12)  # of the sum of four uniform bytes


def sharpen(grey: Any, amount: Any) -> Any:
    """Add to each image `amount` times the detail that a Gaussian of 1.6 % of its side removes.

    Args:
        grey: float32 `[B, S, S]`.
        amount: float32 `[B, 1, 1]`. -1 gives the smoothed image, 0 the image itself, above 0 is unsharp masking.

    Returns:
        float32 `[B, S, S]`; may leave the range of `grey` where it is sharpened.
    """
    size = grey.shape[1]
    weights = _gaussian(SMOOTHING * size)
    smooth = _along(_along(grey, weights, 1), weights, 2)
    return grey + amount * (grey - smooth)


def grain(grey: Any, level: Any, key: Any) -> Any:
    """Add nearly Gaussian noise: the sum of four random bytes for each pixel.

    Args:
        grey: float32 `[B, S, S]`.
        level: float32 `[B, 1, 1]`, standard deviation of the noise in the units of `grey`.
        key: int32 `[B, 1, 1]`; the same key gives the same noise, on every backend.

    Returns:
        float32 `[B, S, S]`.
    """
    size = grey.shape[1]
    places = ops.reshape(ops.arange(size * size, dtype="int32"), (1, size, size))
    bits = _hashed(_hashed(key) ^ places)
    total = sum(ops.bitwise_and(ops.right_shift(bits, 8 * byte), 0xFF) for byte in range(4))
    return grey + level * ((ops.cast(total, "float32") - BYTES_MEAN) / BYTES_DEVIATION)


def reach_of(deviation: float) -> int:
    """Return how many pixels to either side a Gaussian of this deviation, in pixels, averages."""
    return max(1, round(REACH * deviation))


def _gaussian(deviation: float) -> list[float]:
    """Return the weights of the middle pixel and those 1, 2, ... away; all pixels together weigh 1."""
    raw = [math.exp(-0.5 * (distance / deviation) ** 2) for distance in range(1 + reach_of(deviation))]
    total = raw[0] + 2 * sum(raw[1:])
    return [weight / total for weight in raw]


def _along(grey: Any, weights: list[float], axis: int) -> Any:
    """Average each pixel with its neighbours along one axis, by weight; beyond the edge the image is mirrored."""
    size, reach = grey.shape[axis], len(weights) - 1
    edges = [(0, 0), (0, 0), (0, 0)]
    edges[axis] = (reach, reach)
    wide = ops.pad(grey, edges, mode="symmetric")

    def moved(by: int) -> Any:
        window = [slice(None)] * 3
        window[axis] = slice(reach + by, reach + by + size)
        return wide[tuple(window)]

    result = weights[0] * moved(0)
    for distance, weight in enumerate(weights[1:], start=1):
        result = result + weight * (moved(-distance) + moved(distance))
    return result


def _hashed(value: Any) -> Any:
    """Return a hash of int32 numbers that spreads over all 32 bits."""
    first, second = (multiplier - 2**32 if multiplier >= 2**31 else multiplier for multiplier in HASH_MULTIPLIERS)
    value = (value ^ _down(value, 16)) * first
    value = (value ^ _down(value, 15)) * second
    return value ^ _down(value, 16)


def _down(value: Any, by: int) -> Any:
    """Shift right, filling with zeros instead of the sign."""
    return ops.bitwise_and(ops.right_shift(value, by), (1 << (32 - by)) - 1)
