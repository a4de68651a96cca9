"""How well properties that are not disease tell the classes apart, each alone.

A network can read size, aspect ratio, bit depth, compression and exposure from an image, or from what resizing makes of
them. Where one of them tells the classes apart, a high score on images of the same source proves little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from pneumo_tfds.audit.image_facts import MEASURES, ImageFacts
from pneumo_tfds.sources.inventory import LABELS

NOTABLE = 0.65
"""AUROC from which on a property is pointed out. Two classes of one archive that were stored alike stay below it."""


@dataclass(frozen=True)
class Shortcut:
    """A property, and how well it alone tells PNEUMONIA from NORMAL."""

    name: str
    auroc: float
    """0.5 tells nothing, 0 and 1 everything. Above 0.5, PNEUMONIA has the larger values."""
    low: float
    """Bounds of the 95 % interval."""
    high: float

    @property
    def strength(self) -> float:
        """AUROC of the property or of its reverse, whichever is larger; 0.5 to 1."""
        return max(self.auroc, 1 - self.auroc)


def shortcuts(facts: Sequence[ImageFacts]) -> list[Shortcut]:
    """Return every property that varies among readable images, the strongest first; empty if a class has none."""
    readable = [fact for fact in facts if not fact.error]
    positive = np.array([fact.image.label == LABELS[1] for fact in readable], dtype=bool)
    if not positive.any() or positive.all():
        return []
    found = []
    for name, measure in MEASURES.items():
        values = np.array([measure(fact) for fact in readable])
        if values.min() < values.max():
            found.append(Shortcut(name, *auroc_with_interval(values, positive)))
    return sorted(found, key=lambda shortcut: -shortcut.strength)


def auroc_with_interval(values: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the AUROC of `values` `[n]` as a score for `positive` `[n]`, and the bounds of its 95 % interval.

    The interval is that of Hanley and McNeil, Radiology 143 (1982) 29, which needs no resampling.
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]  # the mean rank among equal values
    n, m = int(positive.sum()), int((~positive).sum())
    area = (float(ranks[positive].sum()) - n * (n + 1) / 2) / (n * m)
    pairs, mirrored = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n - 1) * (pairs - area**2) + (m - 1) * (mirrored - area**2)) / (n * m)
    margin = 1.96 * sqrt(max(variance, 0.0))
    return area, max(0.0, area - margin), min(1.0, area + margin)
