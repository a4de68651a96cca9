"""Standardization of images inside a network, so that exposure matters less."""

from __future__ import annotations

from typing import Any

from keras import ops

FLAT = 2.55  # grey levels (1 % of full white), squared and added to the variance, so that a flat image stays flat


def standardized(image: Any) -> Any:
    """Shift and scale every image, float32 `[N, S, S, 1]` of 0 to 255, to mean 0 and standard deviation 1.

    On grey levels 0 to 255, not on fractions: sums of integers are exact in float32 up to 256 x 256 pixels, so that
    every runtime computes the same mean. (LayerNormalization computes x·s - mean·s, which is rounding noise for flat
    images.)
    """
    centred = image - ops.mean(image, axis=(1, 2, 3), keepdims=True)
    variance = ops.mean(ops.square(centred), axis=(1, 2, 3), keepdims=True)
    return centred * ops.rsqrt(variance + FLAT**2)
