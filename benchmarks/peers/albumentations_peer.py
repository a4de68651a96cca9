"""albumentations: the transformations that are nearest to ours, image by image.

Width and height are zoomed apart, where ours draws a zoom and a change of aspect; contrast is about black, not
mid-grey; every transformation rounds to whole grey levels.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import AugmentConfig


def transformation(config: AugmentConfig, seed: int) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return what changes one image, uint8 `[S, S, 1]`, at random, to float32 `[S, S, 1]`, 0 to 255."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise its import asks a host for a newer version
    import albumentations

    zoom, contrast, gamma = ((1 / (1 + reach), 1 + reach) for reach in (config.zoom, config.contrast, config.gamma))
    geometry: dict[str, Any] = {
        "scale": zoom,
        "translate_percent": (-config.shift, config.shift),
        "rotate": config.rotation,
        "shear": {"x": (-config.shear, config.shear), "y": (0.0, 0.0)},
    }
    steps = [
        albumentations.HorizontalFlip(p=config.flip),
        albumentations.Affine(**geometry, p=1.0),
        albumentations.RandomGamma((100 * gamma[0], 100 * gamma[1]), p=1.0),
        albumentations.RandomBrightnessContrast(config.brightness, (contrast[0] - 1, contrast[1] - 1), p=1.0),
    ]
    change = albumentations.Compose(steps, seed=seed)
    return lambda image: np.asarray(change(image=image)["image"], np.float32)
