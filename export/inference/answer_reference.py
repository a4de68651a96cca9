"""How a model's answers to validation images are distributed, and how far other answers are from that.

A part of the file's metadata: for the probability, and the familiarity if the model has one, the inner deciles of the
validation images and the number of images between them; and how many got which answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from export.inference.decision import Limits, decide

BINS = 10
BEYOND_CHANCE = 3.0902
"""Of a standard normal distribution, 0.1 % is larger."""
QUANTITIES = ("familiarity", "probability")


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
    for name, values in known.items():
        inner = np.unique([float(f"{edge:.6g}") for edge in np.quantile(values, np.arange(1, BINS) / BINS)])
        found[name] = {"edges": inner.tolist(), "counts": binned(values, inner).tolist()}
    return found


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
