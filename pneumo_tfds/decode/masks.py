"""Tell pictures of two grey levels, such as segmentation masks and scanned documents, from X-rays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVEL = 10
"""Grey levels around each of the two that count as the same; JPEG makes them of one."""

TWO_LEVELS = 0.97
"""Share of pixels around the two commonest grey levels above which there are only two. It is 0.71 at most on 5,604
chest X-rays, and 0.98 at least on drawn masks of 224 pixels a side and more, saved as JPEG of quality 50 to 95."""

APART = 64
"""Grey levels between the two."""

RARE = 0.002
"""Share of pixels that the rarer level must have: a blank picture with a spot is no mask."""

FEWEST = 256
"""Pixels of a picture that is judged; a smaller one was asked for smaller than that."""

_GLANCE, _LOOK = 32, 256
"""Rows and columns of the samples that are looked at, of every picture and of the suspicious ones."""


def has_two_levels(grey: npt.NDArray[np.uint8], low: int, high: int) -> bool:
    """Return whether a picture has only two grey levels, apart from what JPEG adds.

    Args:
        grey: uint8 `[height, width]`.
        low: its lowest grey level.
        high: its highest.
    """
    if grey.size < FEWEST:
        return False
    glance, quarter = _sample(grey, _GLANCE), (high - low) // 4
    above = glance - np.uint8(low + quarter + 1)  # what lies below wraps around, and one comparison is enough
    if np.count_nonzero(above < high - low - 2 * quarter - 1) > 0.15 * glance.size:  # most X-rays
        return False
    return are_two_levels(np.bincount(_sample(grey, _LOOK).ravel(), minlength=256))


def are_two_levels(counts: npt.NDArray[np.int64]) -> bool:
    """Return whether a picture has only two grey levels, by the pixels of each, int64 `[256]`; at least two differ."""
    total, levels = int(counts.sum()), np.flatnonzero(counts)
    if len(levels) == 2:
        return bool(counts[levels].min() >= RARE * total)
    around = np.convolve(counts, np.ones(2 * LEVEL + 1, dtype=np.int64), "same")
    first = int(around.argmax())
    others = around.copy()
    others[max(0, first - APART) : first + APART + 1] = 0
    second = int(others.max())
    return bool(around[first] + second >= TWO_LEVELS * total and second >= RARE * total)


def _sample(grey: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    return grey[:: max(1, grey.shape[0] // side), :: max(1, grey.shape[1] // side)]
