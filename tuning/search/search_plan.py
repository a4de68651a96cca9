"""What a search is: the values it starts from, its space, its objective and its data; written down, and held to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.config.config_json import to_dict, with_current_names
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import read_json, write_json
from tuning.search.objective import Objective, parse
from tuning.search.space import Parameter, space, to_config

# Settings that change neither what a trial learns nor how it is judged; a resumed search may have others.
FREE = (
    "data.source", "data.dataset", "data.data_dir", "data.cache", "data.data_service", "fit.epochs", "evaluation.",
    "fit.ensemble_size", "search.tune", "search.max_trials", "search.minutes", "search.epoch_budget",
    "search.median_stopping", "search.confirm_top", "search.confirm_seeds", "search.workers", "search.ranges",
    "search.space",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """One search, before its first trial."""

    start: RunConfig
    """The values of the first trial, and those that are not searched."""
    data: Mapping[str, Any]
    """What identifies the images, wherever they lie."""

    @cached_property
    def objective(self) -> Objective:
        """What trials are judged by."""
        return parse(self.start.search.objective)

    @cached_property
    def _space(self) -> tuple[tuple[Parameter, ...], RunConfig]:
        return space(self.start.search.ranges, self.start.search.space, self.start)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What is searched."""
        return self._space[0]

    @property
    def base(self) -> RunConfig:
        """The values of the first trial, with those that --ranges fixed."""
        return self._space[1]

    def trial(self, drawn: Mapping[str, Any], seed: int | None = None) -> RunConfig:
        """Give the settings of a trial that drew these numbers; it trains for `trial_epochs`."""
        config = to_config(self.base, self.parameters, drawn)
        fit = replace(config.fit, epochs=config.search.trial_epochs)
        return replace(config, fit=fit if seed is None else replace(fit, seed=seed))

    def values(self, config: RunConfig) -> dict[str, float]:
        """Give what `config` has for each searched parameter."""
        return {parameter.name: parameter.read(config) for parameter in self.parameters}

    def drawn_values(self, drawn: Mapping[str, Any]) -> dict[str, float]:
        """Give the values that the numbers KerasTuner drew stand for."""
        return {parameter.name: parameter.meant(drawn[parameter.name]) for parameter in self.parameters}

    def winner(self, values: Mapping[str, float]) -> RunConfig:
        """Give the starting settings, epochs and all, with these values."""
        config = self.base
        for parameter in self.parameters:
            config = parameter.write(config, values[parameter.name])
        return config

    def as_json(self) -> dict[str, Any]:
        """Give what `search.json` holds."""
        searched = {p.name: {"low": p.low, "high": p.high, "scale": p.scale} for p in self.parameters}
        return {"settings": to_dict(self.base), "space": searched, "data": dict(self.data)}


def write(plan: Plan, path: Path) -> None:
    """Write `search.json`."""
    write_json(path, plan.as_json())


def hold_to(plan: Plan, path: Path) -> None:
    """Check that `plan` goes on with the search that `path` records.

    Raises:
        InputError: it is another search; the message names the first differences.
    """
    recorded = read_json(path, "take it from a copy, or begin a new search in another --run-dir")
    if isinstance(recorded, dict):
        recorded = {**recorded, "settings": with_current_names(recorded.get("settings"))}
    differences = [
        f"{name} was {before}, is now {now}" for name, before, now in _differences(recorded, plan.as_json(), "")
    ]
    if differences:
        shown = "; ".join(differences[:3]) + (f"; and {len(differences) - 3} more" if len(differences) > 3 else "")
        raise InputError(
            f"{path.parent.parent} holds another search ({shown}); resume with what it began with, "
            "or start a new one with another --run-dir"
        )


def identity(dataset: Path, counts: Mapping[str, int], image_size: int) -> dict[str, Any]:
    """Give what identifies the images of a built dataset wherever it lies: sizes, and a hash of its metadata."""
    metadata = dataset / "metadata.json"
    content = hashlib.sha256(metadata.read_bytes()).hexdigest()[:16] if metadata.exists() else None
    return {"images": dict(sorted(counts.items())), "image_size": image_size, "metadata": content}


def _differences(before: Any, now: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            path = f"{name}.{key}" if name else key
            yield from _differences(before.get(key), now.get(key), path)
    elif before != now and not _free(name):
        yield name.removeprefix("settings."), before, now


def _free(name: str) -> bool:
    setting = name.removeprefix("settings.")
    return setting != name and any(setting == free or (free[-1] == "." and setting.startswith(free)) for free in FREE)
