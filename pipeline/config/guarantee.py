"""What a certain answer must guarantee: least predictive values, as text and as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pneumo_tfds.program.errors import InputError

EXAMPLES = "auto, none or for example npv>=0.95,ppv>=0.95"
NUMBER = r"(?:\d+\.?\d*|\.\d+)"
AUTOMATIC = (0.95, 0.9, 0.8)
"""What `auto` asks for: the first of these, for both values, that the validation images can show."""


@dataclass(frozen=True)
class Guarantee:
    """Least predictive values of certain answers."""

    npv: float
    """Least fraction of certain NORMAL answers that are right, over 0.5 and below 1."""
    ppv: float
    """Least fraction of certain PNEUMONIA answers that are right, over 0.5 and below 1."""

    def __str__(self) -> str:
        """Return the text that `candidates` reads."""
        return f"npv>={self.npv:g},ppv>={self.ppv:g}"


def candidates(text: str) -> tuple[Guarantee, ...]:
    """Read `auto`, `none` or `npv>=0.95,ppv>=0.9`, in any order, and return the guarantees to try in turn.

    Raises:
        InputError: the text is none of these, or a number is out of range.
    """
    compact = "".join(text.lower().split())
    if compact == "none":
        return ()
    if compact == "auto":
        return tuple(Guarantee(value, value) for value in AUTOMATIC)
    match = re.fullmatch(rf"npv>=({NUMBER}),ppv>=({NUMBER})", ",".join(sorted(compact.split(","))))
    if not match:
        raise InputError(f"the guarantee {text!r} is not one of {EXAMPLES}")
    values = [float(value) for value in match.groups()]
    if not all(0.5 < value < 1 for value in values):
        raise InputError(f"the guarantee {text!r} asks for a value that is not over 0.5 and below 1")
    return (Guarantee(*values),)
