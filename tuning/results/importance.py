"""Which hyper-parameters mattered, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

TREES = 64
RESAMPLES = 40
ENOUGH = 6  # trials; a forest of fewer only repeats them


@dataclass(frozen=True)
class Importance:
    """Of one hyper-parameter."""

    name: str
    mean: float
    """The forest's R2 falls by so much when the parameter's values are shuffled among trials; 0: it does not matter."""
    low: float
    high: float
    """90 % of the bootstrap resamples of trials."""


def importance(
    units: NDArray[np.float64], scores: NDArray[np.float64], names: list[str], seed: int = 0
) -> list[Importance]:
    """Estimate importance by permutation (Breiman 2001, "Random Forests", 10), resampling the trials for uncertainty.

    Args:
        units: `[n, p]`, hyper-parameters from 0 to 1 on their own scales.
        scores: `[n]`, the objective.
        names: of the p parameters.
        seed: of forest, resamples and permutations.

    Returns:
        Most important first; empty for fewer than six trials or if all score alike.
    """
    if len(scores) < ENOUGH or np.ptp(scores) == 0:
        return []
    random = np.random.default_rng(seed)
    drops = np.zeros((RESAMPLES, len(names)))
    for resample in range(RESAMPLES):
        rows = random.integers(0, len(scores), len(scores))
        x, y = units[rows], scores[rows]
        if np.ptp(y) == 0:
            continue
        forest = RandomForestRegressor(TREES // 4, min_samples_leaf=2, random_state=int(random.integers(2**31)))
        forest.fit(x, y)
        variance = np.var(y)
        base = 1 - np.mean((forest.predict(x) - y) ** 2) / variance
        for column in range(len(names)):
            shuffled = x.copy()
            shuffled[:, column] = random.permutation(shuffled[:, column])
            drops[resample, column] = base - (1 - np.mean((forest.predict(shuffled) - y) ** 2) / variance)
    found = [
        Importance(name, float(column.mean()), *map(float, np.quantile(column, (0.05, 0.95))))
        for name, column in zip(names, drops.T, strict=True)
    ]
    return sorted(found, key=lambda one: -one.mean)
