"""The search space: every hyper-parameter with its range and scale, in one table.

The values that a run starts with are always inside the space and are the first trial, so a search can only improve on
them. The original study's fixed values are the second trial, unless they are the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.config import RunConfig
from pneumo_tfds.program.errors import InputError

if TYPE_CHECKING:
    import keras_tuner

Scale = Literal["linear", "log", "log_or_zero"]

ZERO_BAND = 10.0  # a log_or_zero parameter is drawn from one more decade below its range, where it means zero
MAGNITUDES = {  # of AugmentConfig, with the largest value each may have
    "rotation": 180, "zoom": 1, "aspect": 1, "shift": 1, "shear": 45, "brightness": 1, "contrast": 1, "gamma": 1,
    "sharpness": 1, "noise": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """One searched hyper-parameter."""

    name: str
    """The name of its flag, without dashes; `augmentation` has no flag and multiplies all magnitudes of the run."""
    low: float
    high: float
    scale: Scale
    """log_or_zero: logarithmic from low to high, or zero."""
    whole: bool = False
    """True for whole numbers."""
    default: bool = True
    """Searched unless the user says otherwise."""

    def read(self, config: RunConfig) -> float:
        """Return its value in `config`."""
        return 1.0 if self.name == "augmentation" else float(getattr(getattr(config, SECTION[self.name]), self.name))

    def write(self, config: RunConfig, value: float) -> RunConfig:
        """Return `config` with this value."""
        section = SECTION[self.name]
        part: Any = getattr(config, section)
        if self.name == "augmentation":
            changes = {name: min(getattr(part, name) * value, top) for name, top in MAGNITUDES.items()}
        else:
            changes = {self.name: round(value) if self.whole else value}
        changed: dict[str, Any] = {section: replace(part, **changes)}
        return replace(config, **changed)

    def to_drawn(self, value: float) -> float:
        """Return the number that KerasTuner draws for `value`: zero is the bottom of its own decade."""
        return max(value, self.low / ZERO_BAND) if self.scale == "log_or_zero" else value

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
        bottom = self.low / ZERO_BAND if self.scale == "log_or_zero" else self.low
        if self.high == bottom:
            return 0.5
        if self.scale == "linear":
            return (value - bottom) / (self.high - bottom)
        return math.log(self.to_drawn(value) / bottom) / math.log(self.high / bottom)

    def levels(self, start: float, count: int) -> list[float]:
        """Return what a grid tries: `count` values evenly over the scale, and `start`, in order."""
        steps = count - 1 if self.scale == "log_or_zero" else count
        spread = [index / max(1, steps - 1) for index in range(steps)]
        if self.scale == "linear":
            values = [self.low + part * (self.high - self.low) for part in spread]
        else:
            values = [self.low * (self.high / self.low) ** part for part in spread]
        if self.whole:
            values = [float(round(value)) for value in values]
        zero = [0.0] if self.scale == "log_or_zero" else []
        return sorted({*zero, *values, start})


SECTION = {
    "learning_rate": "fit", "weight_decay": "fit", "batch_size": "fit", "warmup": "fit", "label_smoothing": "fit",
    "mixup": "fit",
    "dropout": "model", "l1": "model", "l2": "model", "augmentation": "augment",
}  # fmt: skip

# Why these ranges. learning_rate: a decade to each side of AdamW's usual 1e-3, on a log scale, because it matters most
# (Bengio 2012, "Practical recommendations for gradient-based training of deep architectures", 3.1.1).
# dropout: around the 0.5 of Srivastava et al. 2014. l1, l2: over its kernels a fresh `compact` has sum |w| = 44,000 and
# sum w^2 = 3,050 (`study`: 47,000 and 1,200; `efficientnet_lite0` from ImageNet: 187,000 and 21,000), so that at the
# upper ends the penalty is 6 and 4 (27 and 30) times the cross-entropy of a coin (0.69 nats), and at the lower ends
# below 1 % (3 %) of it. The others: a decade or a factor around the defaults.
PARAMETERS = (
    Parameter("learning_rate", 1e-4, 1e-2, "log"),
    Parameter("dropout", 0.0, 0.6, "linear"),
    Parameter("l1", 1e-7, 1e-4, "log_or_zero"),
    Parameter("l2", 1e-6, 1e-3, "log_or_zero"),
    Parameter("weight_decay", 1e-5, 1e-2, "log_or_zero", default=False),
    Parameter("batch_size", 8, 128, "log", whole=True, default=False),
    Parameter("augmentation", 0.0, 2.0, "linear", default=False),
    Parameter("warmup", 0.0, 0.3, "linear", default=False),
    Parameter("label_smoothing", 0.0, 0.2, "linear", default=False),
    Parameter("mixup", 0.0, 0.4, "linear", default=False),
)

# The values that the original study fixed without a search: Keras's usual learning rate, dropout 20 %. Its rows with
# L1 and L2 have no figures.
STUDY = {"learning_rate": 1e-3, "dropout": 0.2, "l1": 0.0, "l2": 0.0}


def build_space(ranges: Iterable[str], file: Path | None, start: RunConfig) -> tuple[tuple[Parameter, ...], RunConfig]:
    """Return the searched parameters, and `start` with the values that the user fixed.

    Args:
        ranges: `name=low:high`, `name=value` (fixed, not searched), or `name` (searched in its usual range). These
            override the file.
        file: JSON, name to `[low, high]`, a number, or true, meaning the same.
        start: the values that the search begins with. Each range is widened to contain them.

    Raises:
        InputError: a name is unknown, a value is not a number, a range is reversed or out of bounds, or no parameter is
            left to search.
    """
    known = {parameter.name: parameter for parameter in PARAMETERS}
    chosen = {parameter.name: parameter for parameter in PARAMETERS if parameter.default}
    for where, name, request in [*_from_file(file), *map(_from_flag, ranges)]:
        if name not in known:
            raise InputError(f"{where}: {name!r} cannot be searched; choose from {', '.join(known)}")
        if isinstance(request, float):
            chosen.pop(name, None)
            start = known[name].write(start, request)
        else:
            chosen[name] = replace(known[name], low=request[0], high=request[1]) if request else known[name]
            _check(where, chosen[name], start)
    if not chosen:
        raise InputError("--ranges leave nothing to search; give at least one as name=low:high")
    ordered = [chosen[name] for name in known if name in chosen]
    return tuple(_widened(parameter, parameter.read(start)) for parameter in ordered), start


def to_config(start: RunConfig, parameters: Iterable[Parameter], drawn: Mapping[str, Any]) -> RunConfig:
    """Return `start` with the values that a trial drew."""
    for parameter in parameters:
        start = parameter.write(start, parameter.from_drawn(drawn[parameter.name]))
    return start


def first_values(parameters: Iterable[Parameter], start: RunConfig) -> list[dict[str, float]]:
    """Return what the first trials draw with every tuner: the values of `start`, and the study's if they differ.

    The study's values are left out if a range that the user chose does not contain them.
    """
    searched = tuple(parameters)
    own = {parameter.name: parameter.read(start) for parameter in searched}
    study = {name: STUDY.get(name, value) for name, value in own.items()}
    found = [own]
    if study != own and all(parameter.contains(study[parameter.name]) for parameter in searched):
        found.append(study)
    return [{parameter.name: parameter.to_drawn(values[parameter.name]) for parameter in searched} for values in found]


def hyperparameters(
    parameters: Iterable[Parameter], start: RunConfig, levels: int | None = None
) -> keras_tuner.HyperParameters:
    """Return the space as KerasTuner declares it, with the values of `start` as the defaults.

    Args:
        parameters: what is searched.
        start: where it starts.
        levels: for a grid, the number of values of each parameter; the first parameter then changes fastest.
    """
    import keras_tuner

    declared = keras_tuner.HyperParameters()
    if levels:
        # KerasTuner's grid changes the last parameter first; the one that matters most should change first.
        for parameter in reversed(tuple(parameters)):
            own = parameter.read(start)
            values = [parameter.to_drawn(value) for value in parameter.levels(own, levels)]
            declared.Choice(parameter.name, values, ordered=True, default=parameter.to_drawn(own))
        return declared
    for parameter in parameters:
        declared.Float(
            parameter.name,
            parameter.low / ZERO_BAND if parameter.scale == "log_or_zero" else parameter.low,
            parameter.high,
            sampling="linear" if parameter.scale == "linear" else "log",
            default=parameter.to_drawn(parameter.read(start)),
        )
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


Request = tuple[str, str, "float | tuple[float, float] | None"]


def _from_flag(text: str) -> Request:
    name, given, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not given:
        return "--ranges", name, None
    try:
        numbers = [float(part) for part in value.split(":")]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 2 or not all(map(math.isfinite, numbers)):
        raise InputError(f"--ranges {text}: expected name=low:high, name=value or name, with plain numbers")
    return "--ranges", name, numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _from_file(file: Path | None) -> list[Request]:
    if file is None:
        return []
    try:
        content = json.loads(file.read_text(encoding="utf-8"), parse_int=float)
    except OSError as error:
        raise InputError(f"--space {file}: {error.strerror}; give a JSON file") from error
    except (RecursionError, ValueError) as error:
        raise InputError(f"--space {file} is not JSON ({error}); give a JSON file") from error
    if not isinstance(content, dict):
        raise InputError(f"--space {file}: expected an object of name to [low, high], a number, or true")
    return [_from_entry(f"--space {file}", name, value) for name, value in content.items()]


def _from_entry(where: str, name: str, value: Any) -> Request:
    match value:
        case True:
            return where, name, None
        case [float() as low, float() as high] if math.isfinite(low) and math.isfinite(high):
            return where, name, (low, high)
        case float() if math.isfinite(value):
            return where, name, value
    raise InputError(f"{where}: {name} is {value!r}; expected [low, high], a number, or true")
