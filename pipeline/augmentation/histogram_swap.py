"""Give training images the grey levels of the other class, so that exposure and contrast cannot tell the classes apart.

Where two classes were imaged with other settings, a network learns the settings: in the archive of Kermany et al.
exposure and sharpness alone give AUROC 0.93. An image's histogram is matched, in part, to that of an image of the other
class in its batch.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.augmentation.augment import Draw

LEAST = 0.3
"""Least part of the way from the own histogram to the other; the part is drawn evenly from here to 1."""
LEVELS = np.arange(256)


def swap(
    images: NDArray[np.uint8], labels: NDArray[Any], uniform: NDArray[np.float32], probability: float
) -> NDArray[np.uint8]:
    """Return the images with the grey levels of some matched to an image of the other class.

    Args:
        images: uint8 `[B, T, T, 1]`.
        labels: `[B]`, 0 or 1; where all are alike, nothing is changed.
        uniform: `[B, DRAWS]`, from `augment.draw`.
        probability: of each image to be changed.
    """
    shares = np.stack([np.bincount(image.ravel(), minlength=256).cumsum() for image in images]) / images[0].size
    changed = images.copy()
    for row in np.flatnonzero(uniform[:, Draw.SWAP] < probability):
        others = np.flatnonzero(labels != labels[row])
        if not len(others):
            continue
        other = others[int(uniform[row, Draw.SWAP_WITH] * len(others))]
        part = LEAST + (1 - LEAST) * uniform[row, Draw.SWAP_PART]
        table = LEVELS + part * (np.interp(shares[row], shares[other], LEVELS) - LEVELS)
        cv2.LUT(images[row, :, :, 0], np.rint(table).astype(np.uint8), dst=changed[row, :, :, 0])
    return changed
