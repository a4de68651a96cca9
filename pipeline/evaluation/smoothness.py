"""Smoothness: how much an answer moves if an image changes by less than an eye can see."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import cv2
import numpy as np

from pipeline.evaluation.metrics import decisions
from pipeline.evaluation.predictions import Floats, Images
from pipeline.evaluation.shifts import Levels, each

QUALITY = 95
"""Quality of the JPEG that images are saved as once more: what cameras and viewers call the best."""


def tiny_changes(images: Images, seed: int) -> Iterator[tuple[str, Images]]:
    """Yield the name of every change that can hardly be seen, and images uint8 [n, S, S, 1] through it.

    Noise takes every pixel one (two) grey levels up or down, at random. Saving as a JPEG is done to the square itself.
    """

    def noisy(image: Images, row: int, levels: int) -> Levels:
        return np.random.default_rng([seed, row]).choice((-levels, levels), image.shape) + image

    def saved(image: Images, row: int) -> Images:
        coded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))[1]
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)

    for levels, words in ((1, "one grey level"), (2, "two grey levels")):
        yield f"every pixel {words} up or down", each(images, partial(noisy, levels=levels))
    yield f"saved once more as a JPEG of quality {QUALITY}", each(images, saved)


def change_of(before: Floats, after: Floats, threshold: float) -> dict[str, Any]:
    """Compare probabilities [n] before and after a change.

    Returns:
        `images` (n), `p99_change` (99th percentile of the absolute change of probability) and `turned` (part of the
        decisions at the threshold that are another).
    """
    return {
        "images": len(before),
        "p99_change": float(np.quantile(np.abs(after - before), 0.99)),
        "turned": float(np.mean(decisions(before, threshold) != decisions(after, threshold))),
    }
