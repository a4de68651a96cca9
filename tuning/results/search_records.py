"""What trackers are told of a search and of each of its trials that has ended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.tracking.run_record import curves_of, settings_of
from pipeline.tracking.tracking import Record
from tuning.results.confirm import Candidate
from tuning.results.leaderboard import TrialRow
from tuning.search.objective import Objective
from tuning.search.search_plan import Plan


def search_record(plan: Plan, best: TrialRow | None = None, confirmed: Sequence[Candidate] = ()) -> Record:
    """Return the record of a search; once it has ended, with its best trial and what confirmed it, if anything did."""
    figures: dict[str, float | None] = {}
    if best:
        figures = {f"best {plan.objective.name}": best.score, "best trial": best.trial}
    if confirmed:
        one = confirmed[0]
        figures |= {"confirmed trial": one.trial, "confirmed mean": one.mean}
        figures |= {"confirmed mean_low": one.low, "confirmed mean_high": one.high}
    finite = {name: float(value) for name, value in figures.items() if value is not None and np.isfinite(value)}
    return Record("search", settings_of(plan.base), figures=finite, ended=best is not None)


def trial_record(row: TrialRow, objective: Objective) -> Record:
    """Return the record of a trial that has ended: its hyper-parameters, its curves and its objective."""
    figures = {"objective": row.score, "objective deviation over folds": row.deviation}
    return Record(
        f"trial {row.trial}",
        row.values,
        [curves_of(epoch) for epoch in row.history],
        {name: value for name, value in figures.items() if value is not None},
        {"objective": objective.name, "outcome": row.status} | ({"reason": row.reason} if row.reason else {}),
        ended=True,
        failed=row.score is None,
        parent="search",
    )
