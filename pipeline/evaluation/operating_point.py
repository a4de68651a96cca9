"""The threshold at which an image is called PNEUMONIA: chosen by a rule, from the labels and scores of one split."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.config.threshold_rule import Rule
from pneumo_tfds.program.errors import InputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, the rule that chose it, and what it reached where it was chosen."""

    threshold: float
    """At or above it an image is called PNEUMONIA."""
    rule: str
    chosen_on: str
    """The split that the rule saw."""
    sensitivity: float
    specificity: float

    def as_json(self) -> dict[str, Any]:
        """The fields as `metrics.json` holds them."""
        return asdict(self)


def choose(labels: npt.NDArray[np.int64], probabilities: Floats, rule: str, chosen_on: str) -> OperatingPoint:
    """The operating point that `rule` picks.

    `youden` takes the largest sensitivity + specificity - 1 (Youden, Cancer 1950). A rule for one figure takes, among
    the thresholds that reach it, the one with the largest other figure. Ties go to the higher sensitivity: a missed
    pneumonia costs more than a second look. The threshold lies between two scores, not on one, at the shortest decimal
    there, so that rounding in another runtime does not turn a decision.

    Args:
        labels: int64 [n], 1 PNEUMONIA.
        probabilities: float [n], P(PNEUMONIA).
        rule: see `Rule.parse`.
        chosen_on: the name of the split, for the record.

    Raises:
        InputError: no rule; one class only; or the rule is reached only by thresholds no better than chance, such as
            calling every image PNEUMONIA. The message names the best that can be reached.
    """
    from sklearn.metrics import roc_curve  # here, so that a configuration can check a rule in no time

    wanted = Rule.parse(rule)
    if len(np.unique(labels)) < 2:
        raise InputError(f"the split {chosen_on} has images of one class only; an operating point needs both")
    false_alarms, sensitivity, cuts = roc_curve(labels, probabilities, drop_intermediate=False)
    sensitivity, specificity, cuts = (
        sensitivity[1:],
        1 - false_alarms[1:],
        cuts[1:],
    )  # the first calls nothing PNEUMONIA
    youden = sensitivity + specificity - 1
    if wanted.figure == "youden":
        merit, allowed = youden, np.full(len(cuts), True)
    else:
        figure, merit = (sensitivity, specificity) if wanted.figure == "sensitivity" else (specificity, sensitivity)
        useful = youden > 1e-9
        allowed = useful & (figure >= wanted.least - 1e-12)
        if not allowed.any():
            raise InputError(_unreachable(wanted, chosen_on, figure[useful]))
    best = max(np.flatnonzero(allowed), key=lambda k: (round(merit[k], 12), sensitivity[k]))
    below = cuts[best + 1] if best + 1 < len(cuts) else 0.0
    return OperatingPoint(
        threshold=_between(float(below), float(cuts[best])),
        rule=str(wanted),
        chosen_on=chosen_on,
        sensitivity=float(sensitivity[best]),
        specificity=float(specificity[best]),
    )


def _between(low: float, high: float) -> float:
    """The shortest decimal (3 digits or more) in (low, high] near the middle."""
    middle = (low + high) / 2
    for digits in range(3, 17):
        if low < round(middle, digits) <= high:
            return round(middle, digits)
    return high


def _unreachable(rule: Rule, split: str, reached: Floats) -> str:
    best = f"the best is {reached.max():.4f}" if reached.size else "no threshold on it is better than chance"
    return f"the threshold rule {rule} cannot be met usefully on {split}: {best}; ask for less, or train longer"
