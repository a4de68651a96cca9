"""The plan of a search: starting values, space, objective and data. It is recorded, and a resumed search must match."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.config.config_json import to_dict, with_current_names
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import read_json, write_json
from tuning.search.journal import REMEDY
from tuning.search.objective import Objective, parse_objective
from tuning.search.space import Parameter, build_space, to_config

# Settings that change neither what a trial learns nor how it is scored; a resumed search may have others.
FREE = {
    f"settings.{section}.{name}"
    for section, names in {
        "data": "source dataset data_dir cache data_service",
        "fit": "epochs ensemble_size",
        "search": "tune max_trials minutes epoch_budget median_stopping confirm_top confirm_seeds workers ranges space "
        "warm_start",
    }.items()
    for name in names.split()
}
FREE_GROUP = "settings.evaluation."
SHOWN_DIFFERENCES = 3


@dataclass(frozen=True)
class Plan:
    """One search, before its first trial."""

    start: RunConfig
    """The values of the first trial, and those that are not searched."""
    data: Mapping[str, Any]
    """What identifies the images, wherever they lie."""
    warm: Sequence[Mapping[str, float]] = ()
    """Values to begin with, from an earlier search."""

    @cached_property
    def objective(self) -> Objective:
        """The figure that trials are compared by."""
        return parse_objective(self.start.search.objective)

    @cached_property
    def _space(self) -> tuple[tuple[Parameter, ...], RunConfig]:
        return build_space(self.start.search.ranges, self.start.search.space, self.start)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The searched hyper-parameters."""
        return self._space[0]

    @property
    def base(self) -> RunConfig:
        """The values of the first trial, including those that --ranges fixed."""
        return self._space[1]

    @property
    def images(self) -> str:
        """The images that trials are trained and scored on, in words."""
        images, folds = self.data["images"], self.start.search.trial_folds
        if folds > 1:
            return f"mean ± deviation over {folds} folds of {images['train'] + images['validation']} images"
        return f"{images['train']} training and {images['validation']} validation images"

    @property
    def moved(self) -> list[str]:
        """What the first trial has in place of a value that the range given for it does not hold; one line each."""
        return [
            f"{one.name} starts at {one.start(self.base):g}: its range does not hold the run's {one.read(self.base):g}"
            for one in self.parameters
            if not one.contains(one.read(self.base))
        ]

    def trial(self, drawn: Mapping[str, Any], seed: int | None = None) -> RunConfig:
        """Return the settings of a trial that drew these numbers; it trains for `trial_epochs`."""
        config = to_config(self.base, self.parameters, drawn)
        fit = replace(config.fit, epochs=config.search.trial_epochs)
        return replace(config, fit=fit if seed is None else replace(fit, seed=seed))

    def drawn_values(self, drawn: Mapping[str, Any]) -> dict[str, float]:
        """Return the values that the numbers drawn by KerasTuner stand for."""
        return {parameter.name: parameter.from_drawn(drawn[parameter.name]) for parameter in self.parameters}

    def winner(self, values: Mapping[str, float]) -> RunConfig:
        """Return the starting settings with these values, to train with and not to search again.

        The number of epochs is the run's own.
        """
        config = replace(self.base, search=replace(self.base.search, tune=False))
        for parameter in self.parameters:
            config = parameter.write(config, values[parameter.name])
        return config

    def as_json(self) -> dict[str, Any]:
        """Return the content of `search.json`."""
        searched = {p.name: {"low": p.low, "high": p.high, "scale": p.scale} for p in self.parameters}
        found = {"settings": to_dict(self.base), "space": searched, "data": dict(self.data)}
        return found | ({"warm_start": list(map(dict, self.warm))} if self.warm else {})

    def write(self, path: Path) -> None:
        """Write `search.json`."""
        write_json(path, self.as_json())

    def check_same_as(self, path: Path) -> None:
        """Check that this is the search that `search.json` at `path` records.

        Raises:
            InputError: it is another search; the message names the first differences.
        """
        recorded = read_json(path, REMEDY)
        if isinstance(recorded, dict):
            recorded = {**recorded, "settings": with_current_names(recorded.get("settings"))}
        if differences := list(_differences(recorded, self.as_json(), "")):
            more = len(differences) - SHOWN_DIFFERENCES
            shown = "; ".join(differences[:SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")
            raise InputError(
                f"{path.parent.parent} holds another search ({shown}); resume with the settings it began with, "
                "or start a new one with another --run-dir"
            )


def _differences(before: Any, now: Any, name: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before | now:
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now and name not in FREE and not name.startswith(FREE_GROUP):
        yield f"{name.removeprefix('settings.')} was {before}, is now {now}"
