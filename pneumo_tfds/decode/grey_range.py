"""The range of values that a picture of more than eight bits shows from black to white.

How many bits a file declares says nothing about what it holds: 12-bit values in 16 bits are the rule, some are shifted
to the left, and a defective pixel can hold any value. So the range follows the values themselves, by one rule for all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SHARE = 0.01
"""Outliers are looked for in this share of the pixels at either end."""

MARGIN = 0.5
"""Values may lie beyond the inner 98 % by this part of the inner range. Measured on 5,604 chest X-rays (children and
adults): 99.3 % keep all their values. The others lose the brightness of a marker or of less than 1 % of the pixels."""

MARKER = 0.025
"""A burnt-in marker of several values, such as letters with soft edges, may cover this share of the pixels, but for
what chance adds. It is not counted if 1 % of the pixels lie beyond the inner 95 % by more than that range is wide;
they lie beyond it by 0.65 of it at most on the 5,604 chest X-rays."""

SOFT = 0.001
"""Share of the pixels beyond the margin above which they are a marker and no defective pixels. Its soft edges have
values within the margin too, so as much is left out there as well."""

_LEVELS = 64
"""Values in the inner 95 % below which it is no picture but, for example, the noise of a black border around one."""

_SAMPLE = 256
"""Rows and columns, at least, that are looked at for the inner range; the square of it of values without order."""


def content_range(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the lowest and the highest value, not counting outliers.

    Args:
        values: integers or floats, `[height, width]` or `[values]`, at least one.
    """
    low, high = float(values.min()), float(values.max())
    longest = _SAMPLE ** (2 // values.ndim)
    steps = tuple(slice(None, None, max(1, side // longest)) for side in values.shape)
    picture = _without_drawn(np.sort(values[steps], axis=None))
    inner_low, inner_high = _inner_range(picture)
    margin = MARGIN * (inner_high - inner_low)
    if margin == 0:  # nearly all pixels are equal: what there is of a picture lies outside
        return low, high
    least, most = inner_low - margin, inner_high + margin
    if least <= low and high <= most:
        return low, high
    below, above = np.searchsorted(picture, least), len(picture) - np.searchsorted(picture, most, side="right")
    soft_low, soft_high = np.quantile(picture[below : len(picture) - above], (SOFT, 1 - SOFT))
    if low < least:
        low = float(soft_low if below > SOFT * len(picture) else values[values >= least].min())
    if high > most:
        high = float(soft_high if above > SOFT * len(picture) else values[values <= most].max())
    return low, high


def _inner_range(ordered: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the range of the inner 98 % of sorted values, without a marker that covers more than 1 % at an end."""
    shares = (SHARE, MARKER, 1 - MARKER, 1 - SHARE)
    outer_low, low, high, outer_high = (float(value) for value in np.quantile(ordered, shares))
    width = high - low
    if max(low - outer_low, outer_high - high) > width:
        inner = ordered[slice(*np.searchsorted(ordered, (low, high)))]
        if np.count_nonzero(np.diff(inner)) >= _LEVELS:
            return low if low - outer_low > width else outer_low, high if outer_high - high > width else outer_high
    return outer_low, outer_high


def _without_drawn(ordered: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return sorted values without a single highest or lowest one that is far from all others: a marker or border.

    Far is farther than the others are from one another. What is drawn may cover much of a picture.
    """
    first, last = np.searchsorted(ordered, ordered[0], side="right"), np.searchsorted(ordered, ordered[-1])
    if first >= last:  # two values, or one
        return ordered
    if ordered[-1] - ordered[last - 1] > ordered[last - 1] - ordered[0]:
        return ordered[:last]
    if ordered[first] - ordered[0] > ordered[-1] - ordered[first]:
        return ordered[first:]
    return ordered


def to_eight_bits(grey: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Scale uint16 to uint8 so that its content fills 0 to 255; leave uint8 as it is.

    Eight bits that were spread over sixteen, each value multiplied by 257, become what they were.
    """
    if grey.dtype == np.uint8:
        return grey.astype(np.uint8, copy=False)
    deep = grey.astype(np.uint16, copy=False)
    if np.array_equal(deep >> 8, deep & 255):
        return (deep & 255).astype(np.uint8)
    return scale(np.arange(65536, dtype=np.float64), *content_range(deep))[deep]


def scale(values: npt.NDArray[np.floating[Any]], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Scale linearly so that `low` becomes 0 and `high` 255; what lies outside is clipped."""
    scaled = (values - low) * (255.0 / max(high - low, 1e-6))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), dtype=np.uint8)
