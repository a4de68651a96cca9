"""Distribution shifts: documented, seeded changes that make validation images look as if from another clinic.

Held-out images of the same archive are too easy: models with AUROC 0.995 there reach 0.96 on the official test, whose
images differ in exposure, sharpness and framing (docs/explanation/results.md). So recipes are chosen on validation
under these changes. Each is stronger than the differences between patients of one archive, and none shares code with
the augmentation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.evaluation.predictions import Images
from pneumo_tfds.program.parallel import ordered_map

Levels = NDArray[Any]
"""Grey levels [S, S], which a change may take out of the range 0 to 255."""


def _exposure(image: Images, rng: Generator, low: float, high: float) -> Levels:
    """Multiply by a factor; values above white are cut off, as on film."""
    return image * np.float32(rng.uniform(low, high))


def _contrast(image: Images, rng: Generator, low: float, high: float) -> Levels:
    """Spread or compress the intensities around their mean by a factor."""
    changed: Levels = (image - image.mean()) * np.float32(rng.uniform(low, high)) + image.mean()
    return changed


def _gamma(image: Images, rng: Generator, low: float, high: float) -> Levels:
    """Raise intensities, as fractions of white, to a power."""
    raised: Levels = 255 * (image / np.float32(255)) ** np.float32(rng.uniform(low, high))
    return raised


def _blur(image: Images, rng: Generator, low: float, high: float) -> Levels:
    """Blur by a Gaussian, its deviation a fraction of the side, as from a coarser detector."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(low, high) * len(image)), np.uint8)


def detail(image: Images) -> NDArray[np.float32]:
    """Return what a Gaussian of 1 % of the side takes from an image [S, S]: its fine detail, float32."""
    smooth = cv2.GaussianBlur(image, (0, 0), 0.01 * len(image))
    return np.asarray(image - smooth.astype(np.float32), np.float32)


def _sharpen(image: Images, rng: Generator, low: float, high: float) -> Levels:
    """Sharpen by unsharp masking with a Gaussian of 1 % of the side, as imaging stations do."""
    return image + np.float32(rng.uniform(low, high)) * detail(image)


def _noise(image: Images, rng: Generator, low: float, high: float) -> Levels:
    """Add Gaussian noise, its deviation in grey levels, as from a lower dose."""
    level = np.float32(rng.uniform(low, high))
    return image + rng.standard_normal(image.shape, np.float32) * level


def framing(
    image: Images,
    rng: Generator,
    scale: tuple[float, float] = (1.0, 1.0),
    aspect: tuple[float, float] = (1.0, 1.0),
    shift: float = 0.0,
    degrees: float = 0.0,
) -> Levels:
    """Scale, stretch, shift (fraction of the side) and rotate; what comes from outside is black."""
    size, factor, stretch = len(image), rng.uniform(*scale), np.sqrt(rng.uniform(*aspect))
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2,) * 2, rng.uniform(-degrees, degrees), factor)
    matrix = matrix @ np.array([[stretch, 0, 0], [0, 1 / stretch, 0], [0, 0, 1]])
    middle = matrix @ np.array([(size - 1) / 2, (size - 1) / 2, 1])
    matrix[:, 2] += (size - 1) / 2 - middle + rng.uniform(-shift, shift, 2) * size
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=interpolation), np.uint8)


SHIFTS: dict[str, Callable[[Images, Generator], Levels]] = {
    "darker": partial(_exposure, low=0.45, high=0.75),
    "brighter": partial(_exposure, low=1.15, high=1.35),
    "flat contrast": partial(_contrast, low=0.4, high=0.7),
    "hard contrast": partial(_contrast, low=1.3, high=1.8),
    "low gamma": partial(_gamma, low=0.5, high=0.75),
    "high gamma": partial(_gamma, low=1.35, high=2.0),
    "blurred": partial(_blur, low=0.008, high=0.016),
    "sharpened": partial(_sharpen, low=1.0, high=2.5),
    "noisy": partial(_noise, low=5, high=14),
    "closer": partial(framing, scale=(1.15, 1.35)),
    "farther": partial(framing, scale=(0.7, 0.88)),
    "wider": partial(framing, aspect=(1.15, 1.35)),
    "taller": partial(framing, aspect=(0.74, 0.87)),
    "off centre": partial(framing, shift=0.12),
    "tilted": partial(framing, degrees=12.0),
}
"""Each change draws its parameter evenly from a range, anew for each image."""


def _without(images: Images, rows: slice) -> Images:
    """Keep some rows of each of `images` uint8 [n, S, S, 1], and enlarge them to its size."""
    size = images.shape[1]
    return np.stack([cv2.resize(image, (size, size)) for image in images[:, rows]])[..., None]


CUT = 0.4
"""Part of the height that is cut away."""

WRONG: dict[str, Callable[[Images], Images]] = {
    "turned by 90 degrees": lambda images: np.rot90(images, axes=(1, 2)),
    "upside down": lambda images: images[:, ::-1, ::-1],
    "with black and white exchanged": lambda images: 255 - images,
    "without the upper 40 %": lambda images: _without(images, slice(round(CUT * images.shape[1]), None)),
    "without the lower 40 %": lambda images: _without(images, slice(None, -round(CUT * images.shape[1]))),
}
"""What is done to images uint8 [n, S, S, 1] so that a model should refuse them, to measure whether it does."""


def shifted(images: Images, name: str, seed: int = 0) -> Images:
    """Apply one change to images.

    Args:
        images: uint8 [n, S, S, 1].
        name: of the change, a key of `SHIFTS`.
        seed: of the random parameters; with the same seed, the image at the same row is changed in the same way.

    Returns:
        uint8 [n, S, S, 1], rounded and clipped to 0 to 255.
    """
    return each(images, lambda image, row: SHIFTS[name](image, np.random.default_rng([seed, row])))


def each(images: Images, change: Callable[[Images, int], Levels]) -> Images:
    """Change every image by itself, in threads; round and clip to 0 to 255.

    Args:
        images: uint8 [n, S, S, 1].
        change: a function of an image, uint8 [S, S], and its row.
    """
    changed = np.empty_like(images)

    def apply(row: int) -> None:
        changed[row, ..., 0] = np.clip(np.rint(change(images[row, ..., 0], row)), 0, 255)

    for _ in ordered_map(apply, range(len(images))):
        pass
    return changed
