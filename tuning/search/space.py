"""The search space: every hyper-parameter with its range and scale, in one table.

The values that a run starts with are the first trial, so a search can only improve on them; where a range that the user
gave does not hold one, its nearest end is. The original study's fixed values are the second trial, unless they are the
same. After an earlier search (`--warm-start`) its best values come second instead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.config import RunConfig
from pipeline.config.effects import lacking
from pipeline.config.own_network import read_argument
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import each_name_once

if TYPE_CHECKING:
    import keras_tuner

ZERO_BAND = 10.0  # a log_or_zero parameter is drawn from one more decade below its range, where it means zero
MAGNITUDES = {  # of AugmentConfig, with the largest value each may have
    "rotation": 180, "zoom": 1, "aspect": 1, "shift": 1, "shear": 45, "brightness": 1, "contrast": 1, "gamma": 1,
    "sharpness": 1, "noise": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """One searched hyper-parameter."""

    name: str
    """The name of its flag, without dashes; `augmentation` has no flag and multiplies all magnitudes of the run. Or of
    an argument of the user's network."""
    section: str
    """The field of RunConfig that holds it; `arguments` for an argument of the user's network."""
    low: float
    high: float
    scale: Literal["linear", "log", "log_or_zero"]
    """log_or_zero: logarithmic from low to high, or zero."""
    whole: bool = False
    """True for whole numbers."""
    default: bool = True
    """Searched unless the user says otherwise."""

    @property
    def bottom(self) -> float:
        """The smallest number that KerasTuner draws."""
        return self.low / ZERO_BAND if self.scale == "log_or_zero" else self.low

    def read(self, config: RunConfig) -> float:
        """Return its value in `config`."""
        if self.section == ARGUMENTS:
            return _arguments(config)[self.name]
        if self.name == "fine_tune_blocks":  # None there stands for what the network has
            return float(config.model.free_blocks)
        return 1.0 if self.name == "augmentation" else float(getattr(getattr(config, self.section), self.name))

    def start(self, config: RunConfig) -> float:
        """Return what the first trial has: its value in `config`, or the nearest that may be drawn."""
        return self.nearest(self.read(config))

    def nearest(self, value: float) -> float:
        """Return `value` if it may be drawn, else the end of the range that is nearest to it."""
        return value if self.contains(value) else min(max(value, self.low), self.high)

    def write(self, config: RunConfig, value: float) -> RunConfig:
        """Return `config` with this value."""
        if self.section == ARGUMENTS:
            values = {**_arguments(config), self.name: round(value) if self.whole else value}
            arguments = tuple(f"{name}={value!r}" for name, value in values.items())
            return replace(config, model=replace(config.model, arguments=arguments))
        part: Any = getattr(config, self.section)
        if self.name == "augmentation":
            changes = {name: min(getattr(part, name) * value, top) for name, top in MAGNITUDES.items()}
        else:
            changes = {self.name: round(value) if self.whole else value}
        changed: dict[str, Any] = {self.section: replace(part, **changes)}
        return replace(config, **changed)

    def to_drawn(self, value: float) -> float:
        """Return the number that KerasTuner draws for `value`: zero is the bottom of its own decade."""
        return max(value, self.bottom) if self.scale == "log_or_zero" else value

    def canonical(self, drawn: float) -> float:
        """Return one number for all that stand for the same value."""
        return self.to_drawn(self.from_drawn(drawn))

    def from_drawn(self, drawn: float) -> float:
        """Return the value that a number drawn by KerasTuner stands for."""
        if self.scale == "log_or_zero" and drawn < self.low * (1 - 1e-9):
            return 0.0
        return float(round(drawn)) if self.whole else float(drawn)

    def contains(self, value: float) -> bool:
        """Return whether `value` may be drawn."""
        return self.low <= value <= self.high or (self.scale == "log_or_zero" and value == 0)

    def unit(self, value: float) -> float:
        """Return the position of `value` on the parameter's scale, from 0 to 1."""
        if self.scale == "linear":
            return (value - self.low) / (self.high - self.low)
        return math.log(self.to_drawn(value) / self.bottom) / math.log(self.high / self.bottom)

    def levels(self, start: float) -> list[float]:
        """Return what a grid tries, in order: both ends, zero or else the middle of the scale, and `start`."""
        parts = (0.0, 1.0) if self.scale == "log_or_zero" else (0.0, 0.5, 1.0)
        if self.scale == "linear":
            values = [self.low + part * (self.high - self.low) for part in parts]
        else:
            values = [self.low * (self.high / self.low) ** part for part in parts]
        zero = [0.0] if self.scale == "log_or_zero" else []
        return sorted({*zero, *map(self.from_drawn, values), start})


# Why these ranges. learning_rate: a decade to each side of AdamW's usual 1e-3, on a log scale, because it matters most
# (Bengio 2012, "Practical recommendations for gradient-based training of deep architectures", 3.1.1).
# dropout: around the 0.5 of Srivastava et al. 2014. l1, l2: over its kernels a fresh `compact` has sum |w| = 44,000 and
# sum w^2 = 3,050 (`study`: 47,000 and 1,200; `efficientnet_lite0` from ImageNet: 187,000 and 21,000), so that at the
# upper ends the penalty is 6 and 4 (27 and 30) times the cross-entropy of a coin (0.69 nats), and at the lower ends
# below 1 % (3 %) of it. The others: a decade or a factor around the defaults.
PARAMETERS = (
    Parameter("learning_rate", "fit", 1e-4, 1e-2, "log"),
    Parameter("dropout", "model", 0.0, 0.6, "linear"),
    Parameter("l1", "model", 1e-7, 1e-4, "log_or_zero"),
    Parameter("l2", "model", 1e-6, 1e-3, "log_or_zero"),
    Parameter("weight_decay", "fit", 1e-5, 1e-2, "log_or_zero", default=False),
    Parameter("batch_size", "fit", 8, 128, "log", whole=True, default=False),
    Parameter("augmentation", "augment", 0.0, 2.0, "linear", default=False),
    Parameter("warmup", "fit", 0.0, 0.3, "linear", default=False),
    Parameter("label_smoothing", "fit", 0.0, 0.2, "linear", default=False),
    Parameter("mixup", "fit", 0.0, 0.4, "linear", default=False),
    Parameter("width", "model", 0.5, 2.0, "log", default=False),
    Parameter("depth", "model", 1, 3, "linear", whole=True, default=False),
    Parameter("fine_tune_blocks", "model", 0, 7, "linear", whole=True, default=False),
)

ARGUMENTS = "arguments"

# The values that the original study fixed without a search: Keras's usual learning rate, dropout 20 %. Its rows with
# L1 and L2 have no figures.
STUDY = {"learning_rate": 1e-3, "dropout": 0.2, "l1": 0.0, "l2": 0.0}


def build_space(ranges: Iterable[str], file: Path | None, start: RunConfig) -> tuple[tuple[Parameter, ...], RunConfig]:
    """Return the searched parameters, and `start` with the values that the user fixed.

    Args:
        ranges: `name=low:high`, `name=value` (fixed, not searched), or `name` (searched in its usual range). These
            override the file.
        file: JSON, name to `[low, high]`, a number, or true, meaning the same.
        start: the values that the search begins with. A usual range is widened to contain them; one that the user gave
            is obeyed.

    Raises:
        InputError: a name is unknown or has no effect on the run, a value is not a number, a range is reversed or out
            of bounds, or no parameter is left to search.
    """
    known = {parameter.name: parameter for parameter in known_parameters(start)}
    chosen = {name: parameter for name, parameter in known.items() if parameter.default}
    declared = start.model.own.ranges if start.model.own else ()
    given: set[str] = set()
    for where, name, numbers in [*map(_from_flag, declared), *_from_file(file), *map(_from_flag, ranges)]:
        if name not in known:
            raise InputError(f"{where}: {name!r} cannot be searched; choose from {', '.join(known)}")
        named = next(iter(MAGNITUDES)) if name == "augmentation" else name
        if why := lacking(start, known[name].section, named):
            raise InputError(f"{where}: {name} has no effect {why}; leave it out")
        if len(numbers) == 1:
            chosen.pop(name, None)
            start = known[name].write(start, numbers[0])
        else:
            chosen[name] = replace(known[name], low=numbers[0], high=numbers[1]) if numbers else known[name]
            given = given | {name} if numbers else given - {name}
            if not numbers and known[name].section == ARGUMENTS:
                raise InputError(
                    f"{where}: {name} is an argument of your network and has no usual range; "
                    f"give it as {name}=low:high ([low, high] in a file)"
                )
            _check(where, chosen[name], start)
    if not chosen:
        raise InputError("--ranges leave nothing to search; give at least one as name=low:high")
    ordered = [chosen[name] for name in known if name in chosen]
    return tuple(one if one.name in given else _widened(one, one.read(start)) for one in ordered), start


def known_parameters(start: RunConfig) -> tuple[Parameter, ...]:
    """Return what can be searched: of a network of the user the settings that it takes, and its own numbers."""
    if (own := start.model.own) is None:
        return PARAMETERS
    ours = [each for each in PARAMETERS if each.section != "model" or each.name in own.defaults]
    values = _arguments(start)
    return (
        *ours,
        *(
            Parameter(name, ARGUMENTS, values[name], values[name], "linear", isinstance(default, int), default=False)
            for name, default in own.numbers.items()
        ),
    )


def _arguments(config: RunConfig) -> dict[str, float]:
    """Return the arguments of the user's network that are numbers: as given, or its defaults."""
    defaults = config.model.own.numbers if config.model.own else {}
    return {**defaults, **dict(map(read_argument, config.model.arguments))}


def to_config(start: RunConfig, parameters: Iterable[Parameter], drawn: Mapping[str, Any]) -> RunConfig:
    """Return `start` with the values that a trial drew."""
    for parameter in parameters:
        start = parameter.write(start, parameter.from_drawn(drawn[parameter.name]))
    return start


def first_values(
    parameters: Iterable[Parameter], start: RunConfig, warm: Iterable[Mapping[str, float]] = ()
) -> list[dict[str, float]]:
    """Return what the first trials draw with every tuner: the values of `start`, then `warm`, or else the study's.

    `warm` holds good values of an earlier search; what it lacks is as in `start`, and what may not be drawn is moved to
    the end of its range. The study's values are left out if a range that the user chose does not contain them. None
    come twice.
    """
    searched = {parameter: parameter.start(start) for parameter in parameters}
    others = [{one: one.nearest(values.get(one.name, own)) for one, own in searched.items()} for values in warm]
    study = {parameter: STUDY.get(parameter.name, value) for parameter, value in searched.items()}
    if not others and all(parameter.contains(value) for parameter, value in study.items()):
        others = [study]
    drawn: list[dict[str, float]] = []
    for values in (searched, *others):
        one = {parameter.name: parameter.to_drawn(value) for parameter, value in values.items()}
        drawn += [one] if one not in drawn else []
    return drawn


def hyperparameters(
    parameters: Iterable[Parameter], start: RunConfig, *, grid: bool = False
) -> keras_tuner.HyperParameters:
    """Return the space as KerasTuner declares it, with the values of `start` as the defaults.

    For a grid, a few values of each parameter are declared, and the first parameter changes fastest.
    """
    import keras_tuner

    declared = keras_tuner.HyperParameters()
    # KerasTuner's grid changes the last parameter first; the one that matters most should change first.
    for parameter in reversed(tuple(parameters)) if grid else parameters:
        own = parameter.start(start)
        default = parameter.to_drawn(own)
        if grid:
            values = [parameter.to_drawn(value) for value in parameter.levels(own)]
            declared.Choice(parameter.name, values, ordered=True, default=default)
        else:
            sampling = "linear" if parameter.scale == "linear" else "log"
            declared.Float(parameter.name, parameter.bottom, parameter.high, sampling=sampling, default=default)
    return declared


def _check(where: str, parameter: Parameter, start: RunConfig) -> None:
    name, low, high = parameter.name, parameter.low, parameter.high
    if low >= high:
        raise InputError(f"{where}: {name} runs from {low:g} to {high:g}; give the smaller number first")
    if parameter.scale != "linear" and low <= 0:
        extra = "; zero is tried anyway" if parameter.scale == "log_or_zero" else ""
        raise InputError(f"{where}: {name} has a log scale and cannot start at {low:g}{extra}; start above 0")
    for end in (low, high):
        try:
            parameter.write(start, end)
        except InputError as error:
            raise InputError(f"{where}: {name} cannot be {end:g}: {error}") from error


def _widened(parameter: Parameter, own: float) -> Parameter:
    if parameter.scale == "log_or_zero" and own == 0:
        return parameter
    if parameter.scale == "log" and own <= 0:
        return replace(parameter, scale="linear", low=0.0)
    return replace(parameter, low=min(parameter.low, own), high=max(parameter.high, own))


Request = tuple[str, str, "list[float]"]
"""Where the user asked, a parameter's name, and nothing (its usual range), a value that fixes it, or a range."""


def _from_flag(text: str) -> Request:
    name, given, value = text.partition("=")
    try:
        numbers = [float(part) for part in value.split(":")] if given else []
    except ValueError:
        numbers = [math.nan]
    if len(numbers) > 2 or not all(map(math.isfinite, numbers)):
        raise InputError(f"--ranges {text}: expected name=low:high, name=value or name, with plain numbers")
    return "--ranges", name.strip().replace("-", "_"), numbers


def _from_file(file: Path | None) -> list[Request]:
    if file is None:
        return []
    where = f"--space {file}"
    try:
        content = json.loads(file.read_text(encoding="utf-8"), parse_int=float, object_pairs_hook=each_name_once)
    except OSError as error:
        raise InputError(f"{where}: {reason_of(error)}; give a JSON file") from error
    except (RecursionError, ValueError) as error:
        raise InputError(f"{where} is not JSON ({error}); give a JSON file") from error
    if not isinstance(content, dict):
        raise InputError(f"{where}: expected an object of name to [low, high], a number, or true")
    requests = []
    for name, value in content.items():
        pair = isinstance(value, list) and len(value) == 2
        numbers = [] if value is True else value if pair else [value]
        if not all(isinstance(number, float) and math.isfinite(number) for number in numbers):
            raise InputError(f"{where}: {name} is {value!r}; expected [low, high], a number, or true")
        requests.append((where, name, numbers))
    return requests
