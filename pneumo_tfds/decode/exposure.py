"""Tell pictures that are unusually dark, bright or flat, and masks, from X-rays as they usually look."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

DARK, BRIGHT, FLAT = 85, 195, 50
"""Grey levels. Of 5,604 chest X-rays (5,216 of children in 224 x 224, 120 in full size, 268 of adults) the one with
the darkest 95th percentile has 107, the one with the brightest 5th percentile 178, and the flattest has 68 between."""


FEW = 32
"""Different grey levels; the fewest are 125 on 532 chest X-rays of 8 bits and more."""


def exposure_remark(grey: npt.NDArray[np.uint8]) -> str:
    """Return what is unusual about the grey levels of a picture, or an empty text.

    Args:
        grey: uint8 of any shape, 0 (black) to 255.
    """
    dark, bright = percentiles(grey, 5, 95)
    if bright < DARK:
        return f"unusually dark: 95 % of its pixels are below {bright + 1} of 255"
    if dark > BRIGHT:
        return f"unusually bright: 95 % of its pixels are above {dark - 1} of 255"
    if bright - dark < FLAT:
        return f"unusually flat: 90 % of its pixels are between {dark} and {bright} of 255"
    return ""


def levels_remark(grey: npt.NDArray[np.uint8]) -> str:
    """Return a remark if a picture, before it is resized, has unusually few grey levels; else empty."""
    levels = np.count_nonzero(histogram(grey))
    return f"only {levels} different grey levels" if levels < FEW else ""


def percentiles(grey: npt.NDArray[np.uint8], *shares: float) -> tuple[int, ...]:
    """Return the grey levels below which these percentages of the pixels lie."""
    counts = np.cumsum(histogram(grey))
    return tuple(int(np.searchsorted(counts, share / 100 * counts[-1])) for share in shares)


def histogram(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Count the pixels of each of the 256 grey levels."""
    counts = cv2.calcHist([grey.reshape(1, -1) if grey.ndim != 2 else grey], [0], None, [256], [0, 256])
    return np.asarray(counts, dtype=np.int64).ravel()
