"""Importance of each hyper-parameter for the objective, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

TREES = 16
RESAMPLES = 40
MINIMUM_TRIALS = 6  # a forest fitted to fewer only repeats them


@dataclass(frozen=True)
class Importance:
    """The importance of one hyper-parameter."""

    name: str
    mean: float
    """Decrease of the forest's R2 when the parameter's values are shuffled among trials; 0 if it does not matter."""
    low: float
    high: float
    """`low` to `high` spans 90 % of the bootstrap resamples of trials."""


def importance(units: NDArray[np.float64], scores: NDArray[np.float64], names: list[str]) -> list[Importance]:
    """Estimate permutation importance (Breiman 2001, "Random Forests", 10), resampling the trials for its uncertainty.

    Args:
        units: `[n, p]`, the hyper-parameters' positions on their own scales, from 0 to 1.
        scores: `[n]`, the objective.
        names: of the p hyper-parameters.

    Returns:
        The most important first; empty for fewer than six trials or if all scores are equal.
    """
    if len(scores) < MINIMUM_TRIALS or np.ptp(scores) == 0:
        return []
    random = np.random.default_rng(0)
    drops = np.zeros((RESAMPLES, len(names)))
    for resample in range(RESAMPLES):
        rows = random.integers(0, len(scores), len(scores))
        x, y = units[rows], scores[rows]
        if np.ptp(y) == 0:
            continue
        seeds = map(int, random.integers(2**31, size=2))
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=next(seeds)).fit(x, y)
        shuffled = permutation_importance(forest, x, y, scoring="r2", n_repeats=1, random_state=next(seeds))
        drops[resample] = shuffled.importances_mean
    found = [
        Importance(name, float(column.mean()), *map(float, np.quantile(column, (0.05, 0.95))))
        for name, column in zip(names, drops.T, strict=True)
    ]
    return sorted(found, key=lambda one: -one.mean)
