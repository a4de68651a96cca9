"""Fit a picture of any aspect ratio into a square: by squeezing it, by cropping it, or with black bars beside it.

The rules are integer arithmetic, so that other languages can follow them: docs/reference/onnx-file.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.program.framing_names import Framing


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def area(self) -> tuple[slice, slice]:
        """The rows and columns of an array that the box covers."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def source_box(width: int, height: int, framing: Framing) -> Box:
    """Return the part of a picture that the square shows: all of it, or for `crop` the centred square."""
    if framing != "crop":
        return Box(0, 0, width, height)
    side = min(width, height)
    return Box((width - side) // 2, (height - side) // 2, side, side)


def target_box(width: int, height: int, size: int, framing: Framing) -> Box:
    """Return where in a square of `size` that part lies: everywhere, or for `pad` in a centred rectangle.

    The longer side takes all of `size`; the shorter one is scaled by the same factor, rounded half up, and at least 1.
    """
    if framing != "pad":
        return Box(0, 0, size, size)
    longer = max(width, height)
    across, down = (max(1, (2 * side * size + longer) // (2 * longer)) for side in (width, height))
    return Box((size - across) // 2, (size - down) // 2, across, down)


def covering_side(width: int, height: int, framing: Framing) -> int:
    """Return the side of a picture that must not become shorter than the square, or detail would be lost.

    With `pad` that is the longer side: both are scaled by the factor that brings it to the side of the square.
    """
    return max(width, height) if framing == "pad" else min(width, height)


def frame(grey: npt.NDArray[np.uint8], size: int, framing: Framing) -> npt.NDArray[np.uint8]:
    """Fit uint8 `[height, width]` into uint8 `[size, size]`, by area averaging, or linearly where it must enlarge."""
    height, width = grey.shape
    if framing == "squeeze" or width == height:
        return _scaled(grey, size, size)
    target = target_box(width, height, size, framing)
    part = _scaled(grey[source_box(width, height, framing).area], target.width, target.height)
    if framing == "crop":
        return part
    square = np.zeros((size, size), np.uint8)
    square[target.area] = part
    return square


def within(grey: npt.NDArray[np.uint8], longest: int) -> npt.NDArray[np.uint8]:
    """Scale uint8 `[height, width]` to a longer side of `longest`, keeping the aspect ratio."""
    box = target_box(grey.shape[1], grey.shape[0], longest, "pad")
    return _scaled(grey, box.width, box.height)


def _scaled(grey: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    if grey.shape == (height, width):
        return grey
    smaller = grey.shape[0] >= height and grey.shape[1] >= width
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (width, height), interpolation=interpolation), dtype=np.uint8)
