"""How validation chooses the decision threshold: the rule as text and as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pneumo_tfds.program.errors import InputError

EXAMPLES = "youden, sensitivity>=0.95 or specificity>=0.90"


@dataclass(frozen=True)
class Rule:
    """What an operating point must reach: Youden's index at its largest, or one figure at a least value."""

    figure: str
    """`youden`, `sensitivity` or `specificity`."""
    least: float = 0.0
    """The value that sensitivity or specificity must reach, 0 to 1."""

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read `youden`, `sensitivity>=0.95` or `specificity>=0.90` (any number over 0 and at most 1).

        Raises:
            InputError: the text is no rule, or its number is out of range.
        """
        compact = "".join(text.lower().split())
        if compact == "youden":
            return cls("youden")
        match = re.fullmatch(r"(sensitivity|specificity)>=(\d*\.?\d+)", compact)
        if not match:
            raise InputError(f"the threshold rule {text!r} is not one of {EXAMPLES}")
        least = float(match[2])
        if not 0 < least <= 1:
            raise InputError(f"the threshold rule {text!r} asks for {least:g}, but it must be over 0 and at most 1")
        return cls(match[1], least)

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return self.figure if self.figure == "youden" else f"{self.figure}>={self.least:g}"
