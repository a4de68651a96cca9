"""Swaps between the classes: NORMAL images get a property of PNEUMONIA ones, and the other way round.

Grey levels, aspect ratio and sharpness are no disease, but in an archive they may go with the label. Where AUROC falls
once each class has the other's, that much of the answer hangs on the property.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from pipeline.evaluation.predictions import Floats, Images, Labels
from pipeline.evaluation.shifts import Levels, detail, each, framing

GREY_LEVELS = "each class with the grey levels of the other"
ASPECT = "each class stretched to the aspect ratio of the other"
SHARPNESS = "each class with the sharpness of the other"

KERMANY_ASPECTS = (1.21, 1.50)
"""Median width over height of NORMAL and PNEUMONIA in the archive of Kermany et al., of 1,572 of its training pictures
(docs/explanation/evaluation.md): for copies of it that were squeezed before."""

MOST_DETAIL = 4.0
"""Largest factor by which detail is made stronger: with more, an image is mostly noise."""


def swapped(images: Images, labels: Labels, seed: int, aspects: Floats | None) -> Iterator[tuple[str, Images]]:
    """Yield the name of every swap, and the images after it.

    Each gives every image one property of a random image of the other class.

    Args:
        images: uint8 [n, S, S, 1].
        labels: [n], both classes among them.
        seed: of the choice of the other image.
        aspects: width over height [n] of the pictures before they were squeezed into the square; NaN where it is not
            known, and such images stay as they are. None leaves this swap out.
    """
    generator = np.random.default_rng(seed)
    other = np.array([generator.choice(np.flatnonzero(labels != label)) for label in labels])
    yield GREY_LEVELS, each(images, lambda image, row: _with_grey_levels(image, images[other[row], ..., 0]))
    if aspects is not None:
        factors = np.nan_to_num(aspects / aspects[other], nan=1.0)
        yield ASPECT, each(images, lambda image, row: _stretched(image, factors[row]))
    yield SHARPNESS, each(images, lambda image, row: _with_sharpness(image, _sharpness(images[other[row], ..., 0])))


def _with_grey_levels(image: Images, other: Images) -> Levels:
    """Match the histogram of an image to that of another (Gonzalez and Woods, Digital Image Processing, 3.3)."""
    own, wanted = (np.cumsum(np.bincount(part.ravel(), minlength=256)) / part.size for part in (image, other))
    return np.interp(own, wanted, np.arange(256))[image]


def _sharpness(image: Images) -> float:
    """Return the variance of the Laplacian, a measure of focus (Pech-Pacheco et al., ICPR 2000)."""
    return float(cv2.Laplacian(image, cv2.CV_32F).var())


def _with_sharpness(image: Images, wanted: float) -> Levels:
    """Weaken or strengthen the fine detail of an image until the variance of its Laplacian is the wanted one.

    With s the smooth part and d the detail, the variance of s + g d is V(s) + 2 g C(s, d) + g^2 V(d), solved for g.
    """
    fine = detail(image)
    of_smooth, of_fine = (cv2.Laplacian(part, cv2.CV_32F).ravel() for part in (image - fine, fine))
    (smooth, both), (_, alone) = np.cov(of_smooth, of_fine)
    if alone == 0:
        return image
    root = np.sqrt(max(both**2 - alone * (smooth - wanted), 0.0))
    factor = np.clip((root - both) / alone, 0.0, MOST_DETAIL)
    return image + np.float32(factor - 1) * fine


def _stretched(image: Images, factor: float) -> Levels:
    """Stretch an image across by a factor, or down by its inverse; what goes over the edge is cut off."""
    scale = max(factor, 1 / factor) ** 0.5
    return framing(image, np.random.default_rng(0), scale=(scale, scale), aspect=(factor, factor))
