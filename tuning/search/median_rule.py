"""When a trial need not be finished: the median rule."""

from __future__ import annotations

from statistics import median

from tuning.search.journal import Journal
from tuning.search.objective import Objective

ENOUGH = 4  # trials that went the whole way, before the first may be stopped; a median of fewer says little


def hopeless(curve: list[float], finished: list[Journal], objective: Objective) -> bool:
    """Say whether a trial is to be stopped: its best so far is worse than the median of the others' at the same epoch.

    The median stopping rule (Golovin et al. 2017, "Google Vizier", 3.2.2), with best-so-far on both sides: it assumes
    nothing about the form of the curves. Only trials that ran to the end count, else a median of stopped trials would
    sink with every stop.

    Args:
        curve: the objective's `curve` after each epoch of the trial so far.
        finished: journals of other trials.
        objective: what is followed, and which way is better.
    """
    depth = len(curve)
    peers = [
        objective.best([epoch[objective.curve] for epoch in journal.epochs[:depth]])
        for journal in finished
        if journal.outcome == "finished" and len(journal.epochs) > depth
    ]
    return len(peers) >= ENOUGH and objective.better(median(peers), objective.best(curve))
