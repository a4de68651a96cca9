"""Levels of familiarity: which share of reference images is farther from the training images than an image is.

Apart from `pipeline.networks.familiarity`, because a file is recalibrated without TensorFlow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVELS = 1000
"""Steps of the familiarity, each an equal share of the reference images."""

LEAST_STEP = 0.03
"""Least difference of two levels. Distances of X-rays are sums of some hundred squares of about 1, so rounding to
float32 changes them by 0.001. The levels of X-rays are ten times as far apart and more."""

LEAST_RATIO = 1e-4
"""Least difference of two levels, a fraction of the level. A network that has learned for three steps tells images
apart in directions in which its training images do not differ at all, by distances of 1e7; rounding changes these by
7e-5 of their size."""


def levels_of(distances: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the levels of distances `[n]`, n at least 1: ascending, `[LEVELS + 1]`, at equal steps of rank."""
    levels = np.quantile(distances, np.linspace(0, 1, LEVELS + 1))
    for rank, least in enumerate(np.maximum(LEAST_STEP, LEAST_RATIO * np.abs(levels[1:])), start=1):
        levels[rank] = max(levels[rank], levels[rank - 1] + least)  # equal ones would be divided by zero
    return levels.astype(np.float32)


def share_beyond(distances: NDArray[np.float64], levels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the familiarity of distances `[n]`, 0 to 1, float64 `[n]`: what `ramps` compute in the graph."""
    share: NDArray[np.float64] = np.interp(distances, levels.astype(np.float64), np.linspace(1, 0, LEVELS + 1))
    return share


def ramps(levels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return slopes `[1, LEVELS]` and offsets `[LEVELS]` of a ramp between each two levels.

    The familiarity of a distance d is one minus the mean of d * slopes + offsets, each clipped to 0 and 1.
    """
    precise = levels.astype(np.float64)
    slopes = (1 / np.diff(precise))[None].astype(np.float32)
    return slopes, -(precise[:-1] * slopes[0]).astype(np.float32)
