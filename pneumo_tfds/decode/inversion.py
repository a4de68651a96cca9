"""Tell pictures that are inverted against the others of a source: black on white among white on black, or otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.program.wording import counted

FEWEST = 10
"""Pictures that make a mean; fewer are not compared."""

ALIKE, AGAINST = 0.5, 0.3
"""Median correlation with the mean of the others from which on pictures are of one kind and are compared, and how far
below zero that of an inverted one lies. Of 5,216 chest X-rays of children and 268 of adults, each among its own kind,
the median is 0.86 and 0.75, the lowest is 0.23 and 0.02, and 99 % are above 0.52 and 0.39, so that their negatives are
as far below zero. With a third of them inverted 99 % of these are found, also among 30 images, and no others."""

_SIDE = 32
"""Pixels a side at which pictures are compared."""


def inversion_remarks(pictures: Mapping[str, npt.NDArray[np.uint8]]) -> dict[str, str]:
    """Return a remark for each picture of a source whose negative is like the others, and which is not itself.

    Where most pictures are inverted, the remark is about those that are not, so it says that it may be either.

    Args:
        pictures: name to uint8 `[height, width]`; small ones do.
    """
    if len(pictures) < FEWEST:
        return {}
    found = _correlations(pictures.values())
    if np.median(found) < ALIKE:
        return {}
    others = counted(int(np.count_nonzero(found >= AGAINST)), "image")
    return {
        name: f"inverted against {others} of the source, or they are: its negative is like their mean, correlation "
        f"{-correlation:.2f}"
        for name, correlation in zip(pictures, found, strict=True)
        if correlation < -AGAINST
    }


def _correlations(pictures: Iterable[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Return the correlation of each picture with the mean of the others, of which those against it are inverted."""
    small = [cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel() for picture in pictures]
    rows = np.stack(small).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    signs = np.ones(len(rows), np.float32)
    for _ in range(3):
        total = signs @ rows
        along = rows @ total
        # Less the picture itself, whose norm is 1; written out, because a matrix of the others has the size of all.
        others = np.sqrt(np.maximum(total @ total - 2 * signs * along + 1, 1e-6))
        found = (along - signs) / others
        signs = np.where(found < 0, -1, 1).astype(np.float32)
    return np.asarray(found, np.float32)
