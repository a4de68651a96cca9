"""The rule that makes one of four answers of a model's outputs. `export/web/page/decision.mjs` is the same rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pneumo_tfds.program.answers import UNCERTAIN, UNSUITABLE, why_uncertain, why_unsuitable
from pneumo_tfds.sources.inventory import LABELS

__all__ = ["UNCERTAIN", "UNSUITABLE", "Limits", "decide"]


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


def decide(
    limits: Limits, probability: float, familiarity: float | None = None, unfit: Sequence[str] = ()
) -> tuple[str, tuple[str, ...]]:
    """Return NORMAL, PNEUMONIA, UNCERTAIN or UNSUITABLE, with the reasons for the last two.

    Args:
        limits: of the model.
        probability: P(PNEUMONIA), 0 to 1.
        familiarity: how much the image looks like the training images, 0 to 1; None if the model does not say.
        unfit: what the file says against itself, such as the modality in a DICOM header.
    """
    needed = limits.familiarity_threshold
    if needed is not None and familiarity is not None and familiarity < needed:
        unfit = (why_unsuitable(familiarity, needed), *unfit)
    if unfit:
        return UNSUITABLE, tuple(unfit)
    low, high = limits.certain_normal_below, limits.certain_pneumonia_from
    if low <= probability < high:
        return UNCERTAIN, (why_uncertain(low, high),)
    return LABELS[probability >= high], ()
