"""How a model's answers to validation images are distributed, and how far other answers are from that.

A part of the file's metadata: for the probability, the familiarity if the model has one, and the brightness of the
images if it is known, the inner deciles of the validation images and the number of images between them; and how many
got which answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from export.inference.decision import UNSUITABLE, decide
from pneumo_tfds.program.answers import Limits
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS

BINS = 10
BEYOND_CHANCE = 3.0902
"""Quantile of the standard normal distribution: 0.1 % of it is larger."""
LARGE = 0.25
"""A population stability index from which a shift is called large by convention."""
FEWEST = 20
"""Answers below which nothing is said: with 20, an index of 1.4 is reached by chance, and with 10 one of 2.8."""
QUANTITIES = ("familiarity", "probability", "brightness")
REFUSALS = "refusals"
"""The share of UNSUITABLE answers, which is compared beside the quantities."""


@dataclass(frozen=True)
class Comparison:
    """The counts of the reference and of other answers, in the same bins."""

    expected: NDArray[np.int64]
    seen: NDArray[np.int64]
    index: float
    """Population stability index."""
    chance: float
    """What the index exceeds by chance once in 1,000 times."""

    @property
    def drifted(self) -> bool:
        """Whether the answers differ by more than chance and by much."""
        return self.index > max(LARGE, self.chance)


def reference_of(
    limits: Limits, probabilities: Sequence[float], familiarities: Sequence[float] | None
) -> dict[str, Any]:
    """Return the reference for the answers to validation images, for JSON.

    Args:
        limits: of the model.
        probabilities: `[n]`, n at least 1.
        familiarities: `[n]`; None if the model has none.
    """
    rows = zip(probabilities, familiarities or repeat(None), strict=False)
    known = {"probability": probabilities} | ({"familiarity": familiarities} if familiarities else {})
    found: dict[str, Any] = {"answers": dict(sorted(Counter(decide(limits, *row)[0] for row in rows).items()))}
    return found | {name: distribution(values) for name, values in known.items()}


def distribution(values: Sequence[float]) -> dict[str, Any]:
    """Return the inner deciles of `values`, at least one, and how many lie between them."""
    inner = np.unique([float(f"{edge:.6g}") for edge in np.quantile(values, np.arange(1, BINS) / BINS)])
    return {"edges": inner.tolist(), "counts": binned(values, inner).tolist()}


def brightness_of(images: ArrayLike) -> list[float]:
    """Return the mean grey level of each image of a uint8 batch `[n, ...]`, 0 (black) to 1."""
    return [round(float(image.mean()) / 255, 6) for image in np.asarray(images)]


def compare(
    reference: Mapping[str, Any], values: Mapping[str, Sequence[float]], decisions: Mapping[str, int]
) -> dict[str, Comparison]:
    """Compare answers with the reference in a file.

    Args:
        reference: as `reference_of` made it.
        values: of each quantity that is known of the answers, one value for each; the others are not compared.
        decisions: the number of answers by decision; without any, refusals are not compared.

    Raises:
        ValueError: the reference is damaged.
    """
    try:
        check(reference)
        usual = answer_counts(reference)
        bins = {
            name: (reference[name]["counts"], binned(values[name], reference[name]["edges"]))
            for name in QUANTITIES
            if name in reference and name in values
        }
        if answered := sum(decisions.values()):
            refused, unsuitable = usual[UNSUITABLE], decisions.get(UNSUITABLE, 0)
            bins[REFUSALS] = ([usual.total() - refused, refused], np.array([answered - unsuitable, unsuitable]))
        return {
            name: Comparison(np.asarray(expected), seen, *stability(expected, seen))
            for name, (expected, seen) in bins.items()
        }
    except JSON_SHAPE_ERRORS as error:
        raise ValueError("a damaged reference") from error


def binned(values: ArrayLike, edges: ArrayLike) -> NDArray[np.int64]:
    """Return how many of `values` lie below the first of k ascending edges, between each two, and from the last on."""
    places = np.searchsorted(np.asarray(edges, np.float64), np.asarray(values, np.float64), side="right")
    return np.bincount(places, minlength=np.size(edges) + 1)


def stability(expected: ArrayLike, seen: ArrayLike) -> tuple[float, float]:
    """Return the population stability index of two rows of counts, and what it exceeds by chance once in 1,000 times.

    The index is the sum of (s - e) log(s / e) over the shares of each bin. If both are drawn from one distribution it
    is about (1 / n + 1 / m) times a chi-square variable (Yurdakul and Naranjo 2020, "Statistical properties of the
    population stability index"), whose quantile is by Wilson and Hilferty (1931). Each count is increased by 0.5.
    """
    counts = [np.asarray(row, np.float64) for row in (expected, seen)]
    e, s = ((row + 0.5) / (row + 0.5).sum() for row in counts)
    freedom = max(len(e) - 1, 1)
    width = 2 / (9 * freedom)
    largest = freedom * (1 - width + BEYOND_CHANCE * np.sqrt(width)) ** 3
    return float(np.sum((s - e) * np.log(s / e))), float(largest * sum(1 / row.sum() for row in counts))


def check(reference: Mapping[str, Any]) -> None:
    """Raise ValueError, TypeError or LookupError for a reference that `reference_of` cannot have made."""
    for name in QUANTITIES:
        if name in reference or name == "probability":
            edges = np.asarray(reference[name]["edges"], np.float64)
            counts = np.asarray(reference[name]["counts"], np.int64)
            if counts.shape != (edges.size + 1,) or (counts < 0).any() or not counts.any():
                raise ValueError(f"counts of {name}")
            if edges.ndim != 1 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
                raise ValueError(f"edges of {name}")
    if not sum(answer_counts(reference).values()):
        raise ValueError("counts of answers")


def answer_counts(reference: Mapping[str, Any]) -> Counter[str]:
    """Return the number of validation images by answer."""
    return Counter(reference["answers"])
