"""What reading and decoding one image shows, and the properties of an image that are not disease."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.splits.near_duplicates import SIDE


@dataclass(frozen=True)
class ImageFacts:
    """What reading and decoding one image showed."""

    image: Image
    error: str = ""
    """Why the image cannot be read; empty if it can."""
    sha256: str = ""
    thumbnail: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros((SIDE, SIDE), np.uint8), compare=False)
    """uint8 `[SIDE, SIDE]`, to find near-identical images."""
    width: int = 0
    height: int = 0
    bits: int = 0
    """Bits of a sample as stored."""
    size: int = 0
    """Bytes of the file."""
    mean: float = 0.0
    """Mean grey level, 0 to 255: the exposure."""
    spread: float = 0.0
    """Standard deviation of the grey levels: the contrast."""
    unusual: tuple[str, ...] = ()
    """What is unusual for a frontal chest X-ray, see `pneumo_tfds.decode.reasons`."""


MEASURES: dict[str, Callable[[ImageFacts], float]] = {
    "width": lambda fact: float(fact.width),
    "height": lambda fact: float(fact.height),
    "pixels": lambda fact: float(fact.width * fact.height),
    "aspect": lambda fact: fact.width / fact.height,
    "bit_depth": lambda fact: float(fact.bits),
    "bytes_per_pixel": lambda fact: fact.size / (fact.width * fact.height),
    "mean_grey": lambda fact: fact.mean,
    "grey_deviation": lambda fact: fact.spread,
}
"""Properties of images that are not disease. If classes or splits differ in them, a model can take shortcuts."""
