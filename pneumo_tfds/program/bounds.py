"""Bounds of settings, declared beside the default value that they bound.

    epochs: Annotated[int, Ge(1), Le(10_000)] = 10

The markers `Ge`, `Gt`, `Le`, `Lt` and `Unit` are those of the annotated-types package.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from typing import Annotated, Any, get_args, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, Unit

from pneumo_tfds.program.errors import require

HOLDS: dict[type, Callable[[Any, Any], bool]] = {Ge: operator.ge, Gt: operator.gt, Le: operator.le, Lt: operator.lt}
WORDS = {Ge: "from {}", Gt: "above {}", Le: "to {}", Lt: "to below {}"}
Count = Annotated[int, Ge(1), Le(1024)]
"""Threads, worker processes, devices: `Count | None = None` means one per core."""
Fraction = Annotated[float, Ge(0), Le(1)]
LAST_SEED = 2**31 - 1
Seed = Annotated[int, Ge(0), Le(LAST_SEED)]


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """A dataclass that checks its fields against their declared bounds when it is made.

    Raises:
        InputError: a value is out of bounds. The message names the flag, the value and the bounds.
    """

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            value = getattr(self, name, None)
            if value is None:
                continue
            markers = list(_markers(hint))
            bounds = {type(marker): astuple(marker)[0] for marker in markers if type(marker) in HOLDS}
            unit = "".join(f" {marker.unit}" for marker in markers if isinstance(marker, Unit))
            holds = all(HOLDS[kind](value, bound) for kind, bound in bounds.items())
            require(holds, name.replace("_", "-"), value, _in_words(bounds) + unit)


def _markers(hint: Any) -> Iterator[Any]:
    """Yield the markers of an annotation, also of one inside `Annotated[...] | None`."""
    yield from getattr(hint, "__metadata__", ())
    for part in get_args(hint):
        yield from _markers(part)


def _in_words(bounds: dict[Any, Any]) -> str:
    """Return bounds as text, such as `from 1 to 100`, `above 0 to 10` or `0 or more`."""
    if list(bounds) == [Ge]:
        return f"{bounds[Ge]} or more"
    return " ".join(WORDS[kind].format(bounds[kind]) for kind in WORDS if kind in bounds)
