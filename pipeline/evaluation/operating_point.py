"""The operating point: the threshold from which on an image is called PNEUMONIA, chosen by a rule on one split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_curve

from pipeline.config.threshold_rule import Rule
from pipeline.evaluation.predictions import Floats, Labels
from pneumo_tfds.program.errors import InputError


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, the rule that chose it, and the figures it reached where it was chosen."""

    threshold: float
    """An image is called PNEUMONIA if its probability is at or above it."""
    rule: str
    chosen_on: str
    """The split on which the rule was applied."""
    sensitivity: float
    specificity: float


def choose_operating_point(labels: Labels, probabilities: Floats, rule: str, chosen_on: str) -> OperatingPoint:
    """Choose the operating point by `rule`.

    `youden` takes the largest sensitivity + specificity - 1 (Youden, Cancer 1950). A rule for one figure takes, among
    the thresholds that reach it, the one with the largest other figure. Ties go to the higher sensitivity: a missed
    pneumonia costs more than a second look. The threshold lies between two scores, not on one, and has as few decimals
    as fit there, so that rounding in another runtime does not change a decision.

    Args:
        labels: int64 [n], 1 PNEUMONIA.
        probabilities: float [n], P(PNEUMONIA).
        rule: see `Rule.parse`.
        chosen_on: the name of the split, for the record.

    Raises:
        InputError: the rule is not valid; the split has one class only; or only thresholds no better than chance reach
            the rule, such as calling every image PNEUMONIA. The message names the best that can be reached.
    """
    parsed = Rule.parse(rule)
    if len(np.unique(labels)) < 2:
        raise InputError(f"{chosen_on}: there are images of one class only; an operating point needs both")
    # Without the first point of the curve, whose threshold is infinite: it calls no image PNEUMONIA.
    false_alarms, sensitivity, cuts = (part[1:] for part in roc_curve(labels, probabilities, drop_intermediate=False))
    specificity = 1 - false_alarms
    youden = sensitivity + specificity - 1
    if parsed.figure == "youden":
        maximized, allowed = youden, np.full(len(cuts), True)
    else:
        figures = {"sensitivity": sensitivity, "specificity": specificity}
        required = figures.pop(parsed.figure)
        (maximized,) = figures.values()
        useful = youden > 1e-9
        allowed = useful & (required >= parsed.least - 1e-12)
        if not allowed.any():
            reached = required[useful]
            best_reached = (
                f"the best is {reached.max():.4f}" if len(reached) else "no threshold on it is better than chance"
            )
            unmet = f"the threshold rule {parsed} cannot be met usefully on {chosen_on}: {best_reached}"
            raise InputError(f"{unmet}; ask for less")
    best = max(np.flatnonzero(allowed), key=lambda k: (round(maximized[k], 12), sensitivity[k]))
    next_lower = cuts[best + 1] if best + 1 < len(cuts) else 0.0
    return OperatingPoint(
        threshold=_between(float(next_lower), float(cuts[best])),
        rule=str(parsed),
        chosen_on=chosen_on,
        sensitivity=float(sensitivity[best]),
        specificity=float(specificity[best]),
    )


def _between(low: float, high: float) -> float:
    """Return the shortest decimal (3 digits or more) in (low, high] near the middle."""
    middle = (low + high) / 2
    for digits in range(3, 17):
        if low < round(middle, digits) <= high:
            return round(middle, digits)
    return high
