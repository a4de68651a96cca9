"""The limits of the four answers, and why an image gets an answer besides NORMAL and PNEUMONIA, in words.

The page has the same words in `export/web/page/decision.mjs`; `tests/export/decisions.json` holds both to them.
"""

from __future__ import annotations

from dataclasses import dataclass

UNCERTAIN, UNSUITABLE = "UNCERTAIN", "UNSUITABLE"


@dataclass(frozen=True)
class Limits:
    """Where an answer is certain, and which images get none; docs/explanation/doubt.md says how they are chosen."""

    certain_normal_below: float
    """NORMAL below this probability."""
    certain_pneumonia_from: float
    """PNEUMONIA from this probability on; at least the other limit. If they are equal, nothing is UNCERTAIN."""
    familiarity_threshold: float | None = None
    """UNSUITABLE below this familiarity; None for a model that has no such output."""

    def __post_init__(self) -> None:
        """Raise ValueError for limits outside 0 to 1 or out of order."""
        if not 0.0 <= self.certain_normal_below <= self.certain_pneumonia_from <= 1.0:
            low, high = self.certain_normal_below, self.certain_pneumonia_from
            raise ValueError(f"the limits {low} and {high}, not in order in 0 to 1")
        if self.familiarity_threshold is not None and not 0.0 <= self.familiarity_threshold <= 1.0:
            raise ValueError(f"the familiarity threshold {self.familiarity_threshold}, not one in 0 to 1")

    def near(
        self,
        probability: float,
        familiarity: float | None,
        tolerance: float,
        familiarity_tolerance: float | None = None,
    ) -> bool:
        """Return whether values are so close to a limit that a difference of `tolerance` may change the answer.

        The tolerance of the familiarity is the same if None.
        """
        limits = (self.certain_normal_below, self.certain_pneumonia_from)
        if any(abs(probability - limit) <= tolerance for limit in limits):
            return True
        if familiarity is None or self.familiarity_threshold is None:
            return False
        allowed = tolerance if familiarity_tolerance is None else familiarity_tolerance
        return abs(familiarity - self.familiarity_threshold) <= allowed


def why_uncertain(normal_below: float, pneumonia_from: float) -> str:
    """Return why a probability between these limits is UNCERTAIN."""
    return f"between the limits {normal_below:.4g} and {pneumonia_from:.4g} for a certain answer"


def why_unsuitable(familiarity: float, least: float) -> str:
    """Return why an image of this familiarity, which is below the `least`, is UNSUITABLE."""
    shown = f"its familiarity is {familiarity:.4f}, and {least:.4g} the least"
    return f"it does not look like the X-rays that the model learned from: {shown}"
