"""The rule that makes one of four answers of a model's outputs. `export/web/page/decision.mjs` is the same rule."""

from __future__ import annotations

from collections.abc import Sequence

from pneumo_tfds.program.answers import UNCERTAIN, UNSUITABLE, Limits, why_uncertain, why_unsuitable
from pneumo_tfds.sources.inventory import LABELS

__all__ = ["UNCERTAIN", "UNSUITABLE", "by_threshold", "decide"]


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
    return by_threshold(LABELS, probability, high), ()


def by_threshold(classes: Sequence[str], probability: float, threshold: float) -> str:
    """Return the second of two classes from a threshold of its probability on, and the first one below."""
    negative, positive = classes
    return positive if probability >= threshold else negative
