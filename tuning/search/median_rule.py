"""The median rule, which stops a trial that is unlikely to become the best."""

from __future__ import annotations

from statistics import median

from tuning.search.journal import Journal
from tuning.search.objective import Objective

MINIMUM_FINISHED = 4  # trials trained to their end before the first one is stopped: a median of fewer means little


def below_median(curve: list[float], others: list[Journal], objective: Objective) -> bool:
    """Return whether a trial's best value so far is worse than the median of the other trials' at the same epoch.

    This is the median stopping rule (Golovin et al. 2017, "Google Vizier", 3.2.2), with the best value so far on both
    sides, so that nothing is assumed about the shape of the curves. Only trials that were trained to their end count:
    a median over stopped trials would sink with every stop.

    `curve` holds the value of `objective.curve` after each epoch of the trial so far.
    """
    epochs = len(curve)
    peers = [
        objective.best([epoch[objective.curve] for epoch in journal.epochs[:epochs]])
        for journal in others
        if journal.outcome == "finished" and len(journal.epochs) > epochs
    ]
    return len(peers) >= MINIMUM_FINISHED and objective.better(median(peers), objective.best(curve))
