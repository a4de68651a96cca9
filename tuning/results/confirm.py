"""An honest winner: the best few trials trained again from other seeds, beside the starting values.

The best of many noisy trials is partly the luckiest. Its own score is therefore not used again: every candidate is
trained from seeds that the search has not seen, and the best mean wins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.stats import t

from pipeline.config import RunConfig
from pipeline.training.fit import DivergedError, Fitted
from pneumo_tfds.program.files import write_json
from tuning.results.leaderboard import Row
from tuning.search import kerastuner_roles
from tuning.search.keras_memory import given_back
from tuning.search.objective import Objective
from tuning.search.search_plan import Plan
from tuning.search.tuner import CHECKPOINT, Train

LEVEL = 0.95
BY_DEFAULT = 2  # with the starting values three candidates, of three seeds each: as many epochs again as eight trials


@dataclass(frozen=True)
class Candidate:
    """One setting, over seeds."""

    trial: int
    values: dict[str, float]
    searched: float
    """What its trial had scored in the search."""
    seeds: tuple[int, ...]
    """The new seeds; one whose run diverged is left out."""
    scores: tuple[float, ...]
    """The objective for each of them."""
    mean: float
    low: float
    high: float
    """95 % interval of the mean, Student's t over seeds; -inf to inf for a single one."""

    @property
    def start(self) -> bool:
        """Say whether these are the starting values."""
        return self.trial == 1


def confirm(
    plan: Plan,
    ranked: list[Row],
    folder: Path,
    train: Train,
    score: Callable[[RunConfig, Fitted], float],
    say: Callable[[str], None] = lambda text: None,
) -> list[Candidate]:
    """Train the best trials and the starting values from `--confirm-seeds` other seeds each; return them best first.

    A run that is there already is not repeated, one that was interrupted goes on from its last epoch.

    Args:
        plan: what was searched.
        ranked: finished trials, best first.
        folder: where the runs are kept.
        train: how one is trained.
        score: its objective.
        say: told how each run ended.
    """
    search = plan.start.search
    rows = ranked[: count(plan)]
    rows += [row for row in ranked if row.trial == 1 and row not in rows]
    seeds = [plan.start.fit.seed + 1 + number for number in range(search.confirm_seeds)]
    found = []
    for row in rows:
        drawn = {parameter.name: parameter.drawn(row.values[parameter.name]) for parameter in plan.parameters}
        scores: dict[int, float] = {}
        for number, seed in enumerate(seeds, start=1):
            description = f"Confirming trial {row.trial}, seed {number}/{len(seeds)}, epoch"
            value = _run(
                plan.trial(drawn, seed), folder / f"trial_{row.trial - 1}_seed_{seed}", train, score, description
            )
            if value is not None:
                scores[seed] = value
            ended = "diverged" if value is None else f"{plan.objective.name} {value:.4f}"
            say(f"confirming trial {row.trial}, seed {number} of {len(seeds)}: {ended}")
        if scores:
            searched, reached = float(row.score or 0.0), tuple(scores.values())
            found.append(Candidate(row.trial, row.values, searched, tuple(scores), reached, *interval(reached)))
    sign = -1 if plan.objective.direction == "max" else 1
    return sorted(found, key=lambda candidate: (sign * candidate.mean, not candidate.start))


def count(plan: Plan) -> int:
    """Return how many of the best trials to train again: `--confirm-top`, or its default for these images and role."""
    search = plan.start.search
    if search.confirm_top is not None:
        return search.confirm_top
    return 0 if plan.start.data.built.phantom or kerastuner_roles.role() == "chief" else BY_DEFAULT


def interval(scores: Sequence[float]) -> tuple[float, float, float]:
    """Give mean, low and high of the 95 % interval of the mean (Student's t); of fewer than two, -inf to inf."""
    mean = float(np.mean(scores)) if scores else np.nan
    if len(scores) < 2:
        return mean, -np.inf, np.inf
    reach = float(t.ppf((1 + LEVEL) / 2, len(scores) - 1) * np.std(scores, ddof=1) / np.sqrt(len(scores)))
    return mean, mean - reach, mean + reach


def verdict(found: list[Candidate], objective: Objective) -> str:
    """Say in a sentence or two whether the search has found something better than the starting values, and how sure."""
    best, start = found[0], next((candidate for candidate in found if candidate.start), None)
    if start is None:
        return "The starting values did not train, so there is nothing to compare the winner with."
    if best is start:
        kept = f"None of the candidates beats the starting values over {len(start.scores)} seeds; they are kept."
        return kept if len(found) == 1 else f"{kept} The next best: {_beside(found[1], start)}. {_spread(found)}"
    _, low, high = interval(_differences(best, start))
    if low > 0 if objective.direction == "max" else high < 0:
        return f"Trial {best.trial} beats the starting values: {_beside(best, start)}."
    return (
        f"Trial {best.trial} is ahead of the starting values, but seeds alone could explain it: "
        f"{_beside(best, start)}. {_spread(found)}"
    )


def _differences(one: Candidate, start: Candidate) -> list[float]:
    """Seed by seed, where both trained: the same seed gives both the same data order and augmentation."""
    theirs = dict(zip(start.seeds, start.scores, strict=True))
    return [mine - theirs[seed] for seed, mine in zip(one.seeds, one.scores, strict=True) if seed in theirs]


def _beside(one: Candidate, start: Candidate) -> str:
    pairs = _differences(one, start)
    if not pairs:
        return f"trial {one.trial} trained from other seeds than they"
    mean, low, high = interval(pairs)
    return f"trial {one.trial} has {mean:+.4f} (95 % interval {low:+.4f} to {high:+.4f} over {len(pairs)} seeds)"


def _spread(found: list[Candidate]) -> str:
    """Say how much one setting's scores vary, which is why a difference of that size cannot be told."""
    several = [candidate.scores for candidate in found if len(candidate.scores) > 1]
    if not several:
        return "One seed each cannot tell."
    deviation = np.sqrt(np.mean([np.var(scores, ddof=1) for scores in several]))
    return f"One setting varies by {deviation:.4f} (standard deviation) from seed to seed; more seeds would tell more."


def table(found: list[Candidate], objective: Objective) -> Table:
    """Draw the candidates for a terminal."""
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
    """Give what `confirmed.json` holds."""
    rows = [
        {name: (None if isinstance(value, float) and not np.isfinite(value) else value) for name, value in row.items()}
        for row in map(asdict, found)
    ]
    return {"objective": objective.name, "verdict": verdict(found, objective), "candidates": rows}


def _run(
    config: RunConfig,
    folder: Path,
    train: Train,
    score: Callable[[RunConfig, Fitted], float],
    description: str,
) -> float | None:
    result = folder / "score.json"
    if not result.exists():
        with given_back():
            try:
                fitted = train(
                    config,
                    folder=folder / CHECKPOINT,
                    until=config.fit.epochs,
                    on_epoch=lambda epoch: False,
                    description=description,
                )
                value: float | None = score(config, fitted)
            except DivergedError:
                value = None
        write_json(result, value)
    loaded: float | None = json.loads(result.read_text(encoding="utf-8"))
    return loaded
