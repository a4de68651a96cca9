"""Confirming the winner: the best trials and the starting values are trained again from other seeds.

The best of many noisy trials is partly the luckiest, so its score in the search is not used: every candidate is trained
from seeds that the search has not used, and the best mean wins.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.stats import sem, t

from pipeline.config import RunConfig
from pipeline.run_folder.history import Epoch
from pipeline.training.fit import DivergedError
from pneumo_tfds.program.files import read_json, write_json
from tuning.results.leaderboard import TrialRow
from tuning.search import kerastuner_roles
from tuning.search.journal import read_journals
from tuning.search.keras_memory import releasing_memory
from tuning.search.objective import Objective
from tuning.search.search_plan import Plan
from tuning.search.trial_folds import Fold, train_in_folds
from tuning.search.tuner import CHECKPOINT

LEVEL = 0.95
DEFAULT_COUNT = 2  # and the starting values, from three seeds each: about as many epochs as eight more trials


class OutOfTimeError(Exception):
    """The minutes of the search have ended."""


@dataclass(frozen=True)
class Candidate:
    """One setting, trained from several seeds."""

    trial: int
    values: dict[str, float]
    searched: float
    """The score of its trial in the search."""
    seeds: tuple[int, ...]
    """The new seeds, without those whose run diverged."""
    scores: tuple[float, ...]
    """The objective for each of them."""
    mean: float
    low: float
    high: float
    """95 % interval of the mean, Student's t over seeds; -inf to inf for a single one."""

    @property
    def start(self) -> bool:
        """True if these are the starting values."""
        return self.trial == 1


def confirm(
    plan: Plan,
    ranked: list[TrialRow],
    folder: Path,
    folds: Sequence[Fold],
    report: Callable[[str], None] = lambda text: None,
    end: float = math.inf,
) -> list[Candidate]:
    """Train the best trials and the starting values from `--confirm-seeds` other seeds each; return them best first.

    A run that has ended is not repeated; one that was interrupted resumes from its last epoch. All are trained from one
    seed before the next, and a seed from which time did not suffice for all counts for none.

    Args:
        plan: what was searched.
        ranked: finished trials, best first.
        folder: for the runs.
        folds: how a run is trained and scored, in each of its folds.
        report: called with a line about each run.
        end: `time.time()` at which no run begins any more, and a running one stops.
    """
    if not (count := candidate_count(plan)):
        return []
    rows = ranked[:count] + [row for row in ranked[count:] if row.trial == 1]
    seeds = [plan.start.fit.seed + 1 + number for number in range(plan.start.search.confirm_seeds)]
    scores: dict[int, dict[int, float]] = {row.trial: {} for row in rows}
    for number, seed in enumerate(seeds, start=1):
        reached: dict[int, float] = {}
        try:
            for row in rows:
                drawn = {one.name: one.to_drawn(row.values[one.name]) for one in plan.parameters}
                description = f"Confirming trial {row.trial}, seed {number}/{len(seeds)}"
                run = folder / f"trial_{row.trial - 1}_seed_{seed}"
                value = _score_of_run(plan.trial(drawn, seed), run, folds, description, end)
                if value is not None:
                    reached[row.trial] = value
                ended = "diverged" if value is None else f"{plan.objective.name} {value:.4f}"
                report(f"confirming trial {row.trial}, seed {number} of {len(seeds)}: {ended}")
        except OutOfTimeError:
            minutes = f"--minutes {plan.start.search.minutes:g} ended"
            report(f"{minutes} after {number - 1} of {len(seeds)} seeds; --resume with more minutes trains the others")
            break
        for trial, value in reached.items():
            scores[trial][seed] = value
    found = [
        Candidate(
            row.trial, row.values, float(row.score or 0.0), tuple(one), tuple(one.values()), *interval([*one.values()])
        )
        for row in rows
        if (one := scores[row.trial])
    ]
    sign = -1 if plan.objective.direction == "max" else 1
    # One that diverged has fewer seeds than the others, and perhaps the easier ones, so it comes behind them.
    return sorted(found, key=lambda one: (-len(one.scores), sign * one.mean, not one.start))


def candidate_count(plan: Plan) -> int:
    """Return how many of the best trials to train again: `--confirm-top`, or its default for these images and role."""
    search = plan.start.search
    if search.confirm_top is not None:
        return search.confirm_top
    on_a_cluster = kerastuner_roles.role() != "alone" and search.workers == 1
    return 0 if plan.start.data.built.phantom or on_a_cluster else DEFAULT_COUNT


def seconds_to_confirm(plan: Plan, trials: Path) -> float:
    """Return the part of `--minutes` that is kept for `confirm`, in seconds: as long as its runs take, at most half.

    Every run takes as long as the longest of the trials that were trained to their end.
    """
    search, count = plan.start.search, candidate_count(plan)
    runs = (count + 1) * search.confirm_seeds if count else 0
    longest = max((one.seconds for one in read_journals(trials) if one.outcome == "finished"), default=0.0)
    return min(runs * longest, search.minutes * 60 / 2)


def interval(scores: Sequence[float], candidates: int = 1) -> tuple[float, float, float]:
    """Return mean, low and high of the 95 % interval of the mean (Student's t); -inf to inf for fewer than two.

    With several `candidates`, of which the best is looked at, all of their intervals hold together in 95 % of the
    cases: each is one of 1 - 0.05 / `candidates` (Bonferroni).
    """
    mean = float(np.mean(scores)) if scores else np.nan
    if len(scores) < 2:
        return mean, -np.inf, np.inf
    scale = max(sem(scores), np.finfo(float).tiny)  # of equal scores SciPy would return NaN
    low, high = t.interval(1 - (1 - LEVEL) / candidates, len(scores) - 1, loc=mean, scale=scale)
    return mean, float(low), float(high)


def conclusion(found: list[Candidate], objective: Objective) -> str:
    """Return one or two sentences: whether the search found better values than the starting ones, and how surely."""
    best, start = found[0], next((candidate for candidate in found if candidate.start), None)
    if start is None:
        return "The starting values did not train, so there is nothing to compare the winner with."
    kept = f"None of the candidates beats the starting values over {len(start.scores)} seeds; they are kept."
    if len(found) == 1:
        return kept
    # Differences by seed, where both trained: a seed gives both the same data order and augmentation.
    other, theirs = found[1] if best is start else best, dict(zip(start.seeds, start.scores, strict=True))
    pairs = [mine - theirs[seed] for seed, mine in zip(other.seeds, other.scores, strict=True) if seed in theirs]
    tried = len(found) - 1  # the same seeds say which of them is the best
    mean, low, high = interval(pairs, tried)
    corrected = f", corrected for {tried} candidates" if tried > 1 else ""
    over = f"over {len(pairs)} seeds{corrected}"
    beside = f"trial {other.trial} has {mean:+.4f} (95 % interval {low:+.4f} to {high:+.4f} {over})"
    if not pairs:
        beside = f"trial {other.trial} and they have no seed in common that trained"
    if best is start:
        return f"{kept} The next best: {beside}. {_spread(found)}"
    if low > 0 if objective.direction == "max" else high < 0:
        return f"Trial {best.trial} beats the starting values: {beside}."
    ahead = f"Trial {best.trial} is ahead of the starting values, but seeds alone could explain it"
    return f"{ahead}: {beside}. {_spread(found)}"


def _spread(found: list[Candidate]) -> str:
    """Return a sentence about how much the scores of one setting vary from seed to seed."""
    several = [candidate.scores for candidate in found if len(candidate.scores) > 1]
    if not several:
        return "One seed each is not enough to decide."
    spread = f"{np.sqrt(np.mean([np.var(scores, ddof=1) for scores in several])):.4f} (standard deviation)"
    return f"One setting varies by {spread} from seed to seed; more seeds give a surer answer."


def candidates_table(found: list[Candidate], objective: Objective) -> Table:
    """Return the candidates as a table for a terminal."""
    drawn = Table(title="Confirmed over seeds", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("#", "trial", f"mean {objective.name}", "95 % interval", "seeds", "in the search", ""):
        drawn.add_column(heading, justify="right" if heading else "left")
    for place, one in enumerate(found, start=1):
        drawn.add_row(
            str(place), str(one.trial), f"{one.mean:.4f}", f"{one.low:.4f} to {one.high:.4f}", str(len(one.scores)),
            f"{one.searched:.4f}", "start" if one.start else "", style="bold" if place == 1 else None,
        )  # fmt: skip
    return drawn


def as_json(found: list[Candidate], objective: Objective) -> dict[str, Any]:
    """Return the content of `confirmed.json`."""
    rows = [
        {name: (None if isinstance(value, float) and not np.isfinite(value) else value) for name, value in row.items()}
        for row in map(asdict, found)
    ]
    return {"objective": objective.name, "verdict": conclusion(found, objective), "candidates": rows}


def _score_of_run(config: RunConfig, folder: Path, folds: Sequence[Fold], description: str, end: float) -> float | None:
    """Return the score of a run, after training it unless it has ended; None if it diverged.

    Raises:
        OutOfTimeError: it has not ended, and there is no time for it.
    """

    def check_time(epoch: Epoch, fold: int) -> None:
        is_last = epoch.epoch >= config.fit.epochs * len(folds)
        if time.time() > end and not is_last:
            raise OutOfTimeError

    result = folder / "score.json"
    if not result.exists():
        if time.time() > end:
            raise OutOfTimeError
        value, checkpoint, until = None, folder / CHECKPOINT, config.fit.epochs
        with releasing_memory(), suppress(DivergedError):
            value = fmean(train_in_folds(folds, config, checkpoint, until, check_time, description)[1])
        write_json(result, value)
    loaded: float | None = read_json(result, "delete it to train the run again")
    return loaded
