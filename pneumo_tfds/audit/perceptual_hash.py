"""Find near-identical images with a perceptual hash, which scaling, recompression and exposure hardly change.

The hash is the DCT hash described by Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions"
(2010), with 256 bits instead of 64: whether each of the 16 x 16 lowest frequencies of a 64 x 64 image is above their
median. OpenCV has its own version only in the contrib modules, which are not in the headless wheel.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.splits.duplicates import merge_overlapping

MAX_DISTANCE = 24
"""Bits of 256 that may differ between near-identical images. Measured on 5,216 training images: saving one again as a
JPEG of quality 50 changes at most 10 bits, scaling to 150 pixels 4, less contrast 6, a gamma of 0.7 up to 28 (99 %:
23); no two images that are not byte-identical differ by 40 or less. Cropping 2 % off each side changes 34 and more."""

_SIDE = 16
"""Frequencies in each direction."""


def perceptual_hash(grey: npt.NDArray[np.uint8]) -> int:
    """Return the 256-bit hash of a grey image, uint8 `[height, width]`."""
    small = cv2.resize(grey, (4 * _SIDE, 4 * _SIDE), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small.astype(np.float32))[1 : _SIDE + 1, 1 : _SIDE + 1].ravel()
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def near_groups(hashed: Sequence[tuple[Image, int]]) -> list[tuple[Image, ...]]:
    """Return groups of images, linked by hashes that differ by at most `MAX_DISTANCE` bits, in order of names."""
    hashes = np.array([list(bits.to_bytes(_SIDE * _SIDE // 8, "big")) for _, bits in hashed], dtype=np.uint8)
    words = hashes.view(np.uint64) if len(hashed) else hashes
    linked = []
    for index in range(len(hashed) - 1):
        distances = np.bitwise_count(words[index + 1 :] ^ words[index]).sum(axis=1)
        near = index + 1 + np.flatnonzero(distances <= MAX_DISTANCE)
        if len(near):
            linked.append([index, *map(int, near)])
    return sorted(tuple(sorted(hashed[index][0] for index in group)) for group in merge_overlapping(linked))
