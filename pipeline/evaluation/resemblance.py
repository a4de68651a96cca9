"""Which known change of the run's own images the images of another place resemble, in exposure and sharpness."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.evaluation.predictions import Images
from pipeline.evaluation.robustness import UNCHANGED
from pipeline.evaluation.shifts import SHIFTS, shifted
from pipeline.evaluation.shortcuts import exposure_features

LIKE = 0.5
"""Distance up to which images are said to be like those of a change. 30 test X-rays through a change were within 0.5
of the same change of validation in nearly all draws, and in none nearer to another one (default recipe, 20 draws)."""
FEWEST = 30
"""Images of which the mean is taken; the mean of fewer tells little."""


def resemblance(images: Images, validation: Images, seed: int) -> dict[str, Any] | None:
    """Return the known change whose mean features are nearest to those of other images; None for too few images.

    The distance is the root mean square over 11 features, in standard deviations between validation images.

    Args:
        images: uint8 [n, S, S, 1] of another place.
        validation: uint8 [m, S, S, 1] of the run.
        seed: of the changes.

    Returns:
        `nearest`, a key of `SHIFTS` or `as they are`; its `distance`; `unchanged`, the distance to the validation
        images as they are; and `alike`, whether the nearest is within `LIKE`.
    """
    if min(len(images), len(validation)) < FEWEST:
        return None
    plain, mean = exposure_features(validation), exposure_features(images).mean(axis=0)
    scale = np.maximum(plain.std(axis=0), 1e-6)
    means = {UNCHANGED: plain.mean(axis=0)}
    means |= {name: exposure_features(shifted(validation, name, seed)).mean(axis=0) for name in SHIFTS}
    distances = {name: float(np.sqrt(np.mean(((mean - other) / scale) ** 2))) for name, other in means.items()}
    nearest = min(distances, key=lambda name: distances[name])
    distance = distances[nearest]
    return {"nearest": nearest, "distance": distance, "unchanged": distances[UNCHANGED], "alike": distance <= LIKE}
