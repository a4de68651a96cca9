"""The objective: the figure that trials are compared by, and which direction is better."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pneumo_tfds.program.errors import InputError

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.data.split import Split
    from pipeline.training.fit import Fitted

SHIFT_SEED = 20_180_222  # an arbitrary constant, so that all trials meet the same shifts


@dataclass(frozen=True)
class Objective:
    """One figure of merit."""

    name: str
    direction: Literal["max", "min"]
    by_epoch: bool
    """`pipeline.training.fit` reports it after every epoch; otherwise it is computed when a trial ends."""
    specificity: float = 0.0
    """The X of sensitivity@X."""

    @property
    def curve(self) -> str:
        """The field of `pipeline.run_folder.history.Epoch` that the median rule follows.

        An objective that is computed when a trial ends has no field. The validation AUROC stands in for it: both are
        maximized, and a trial below the median in one is unlikely to be the best in the other.
        """
        return self.name if self.by_epoch else "validation_auroc"

    def better(self, one: float, other: float) -> bool:
        """Return whether `one` is strictly better than `other`."""
        return one > other if self.direction == "max" else one < other

    def best(self, values: list[float]) -> float:
        """Return the best of `values`."""
        return max(values) if self.direction == "max" else min(values)


BY_EPOCH: dict[str, Literal["max", "min"]] = {
    "validation_auroc": "max",
    "validation_loss": "min",
    "validation_accuracy": "max",
}


def parse_objective(text: str) -> Objective:
    """Return the objective of that name.

    Raises:
        InputError: there is no such objective.
    """
    if text in BY_EPOCH or text == "shifted_auroc":
        return Objective(text, BY_EPOCH.get(text, "max"), by_epoch=text in BY_EPOCH)
    if (match := re.fullmatch(r"sensitivity@(0?\.\d+)", text)) and float(match[1]) > 0:
        return Objective(text, "max", by_epoch=False, specificity=float(match[1]))
    known = ", ".join(["shifted_auroc", *BY_EPOCH, "sensitivity@0.90 (at that specificity)"])
    raise InputError(f"--objective {text} is not reported by a run; choose from {known}")


def sensitivity_at(labels: NDArray[np.int64], scores: NDArray[np.float64], specificity: float) -> float:
    """Return the largest sensitivity among thresholds whose specificity is at least `specificity`."""
    from sklearn.metrics import roc_curve

    false_positive_rate, sensitivity, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(sensitivity[1 - false_positive_rate >= specificity - 1e-12].max())


def scorer(objective: Objective, validation: Split) -> Callable[[RunConfig, Fitted], float]:
    """Return a function that scores a finished trial by the epoch whose weights were kept.

    `shifted_auroc` scores on validation images as other clinics might have made them (`pipeline.evaluation.shifts`):
    each image goes through one of the changes, so one pass measures how the network copes when exposure, sharpness and
    framing differ from patient to patient. The images are made once and are the same for every trial.
    """
    shifted_images: list[NDArray[np.uint8]] = []

    def score(config: RunConfig, fitted: Fitted) -> float:
        from sklearn.metrics import roc_auc_score

        from pipeline.networks.forward_pass import LogitsFn

        if objective.by_epoch:
            return float(getattr(fitted.best, objective.name))
        examples = validation.examples
        network = LogitsFn(fitted.network, expected=len(examples))
        if objective.specificity:
            return sensitivity_at(examples.labels, network.probabilities(examples.images), objective.specificity)
        if not shifted_images:
            shifted_images.append(shift_in_turn(examples.images))
        return float(roc_auc_score(examples.labels, network.probabilities(shifted_images[0])))

    return score


def shift_in_turn(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Apply the changes of `pipeline.evaluation.shifts` to images uint8 `[n, S, S, 1]` in turn, one to each image."""
    from pipeline.evaluation.shifts import SHIFTS, shifted

    changed = np.empty_like(images)
    for number, name in enumerate(SHIFTS):
        changed[number :: len(SHIFTS)] = shifted(images[number :: len(SHIFTS)], name, SHIFT_SEED)
    return changed
