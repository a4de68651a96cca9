"""`--warm-start`: the best hyper-parameters of an earlier search."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, read_json
from tuning.search.journal import REMEDY
from tuning.search.space import Parameter

COUNT = 3  # of the earlier search's best trials: more would leave a search of eight little of its own


def best_values(earlier: Path | None, parameters: Iterable[Parameter]) -> Sequence[Mapping[str, float]]:
    """Return the values of the best trials of an earlier search, best first, of the parameters that are searched now.

    Args:
        earlier: its run folder or the `tuner` folder in it; None for none.
        parameters: what is searched now.

    Raises:
        InputError: there is no leaderboard, it cannot be read, or has nothing of what is searched now.
    """
    if earlier is None:
        return []
    inside = earlier / "tuner" / "leaderboard.csv"
    path = inside if inside.exists() else earlier / "leaderboard.csv"
    names = {parameter.name for parameter in parameters}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            ranked = [row for row in csv.DictReader(file) if row["place"]][:COUNT]
        found = [{name: float(row[name]) for name in sorted(names & row.keys())} for row in ranked]
    except (OSError, csv.Error, *JSON_SHAPE_ERRORS) as error:
        raise InputError(f"--warm-start {path}: {reason_of(error)}; name the run folder of a search") from error
    if not any(found):
        raise InputError(f"--warm-start {path} has no trial with {', '.join(sorted(names))}; leave it out")
    return found


def recorded_warm_start(plan: Path) -> Sequence[Mapping[str, float]]:
    """Return the values that a search began with, from its `search.json`: the earlier search may be gone by now."""
    recorded = read_json(plan, REMEDY)
    values = recorded.get("warm_start", []) if isinstance(recorded, dict) else []
    return values if isinstance(values, list) else []
