"""What a trial is judged by, and which way is better."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pneumo_tfds.errors import InputError

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.fit import Epoch, Fitted
    from pipeline.records import Split

SHIFT_SEED = 20_180_222  # any fixed number: all trials must meet the same shifts
SHIFT_BATCH = 64


@dataclass(frozen=True)
class Objective:
    """One figure of merit."""

    name: str
    direction: Literal["max", "min"]
    by_epoch: bool
    """`pipeline.fit` reports it after every epoch; else it is computed from the network when a trial ends."""
    specificity: float = 0.0
    """For sensitivity@X: the X."""

    def better(self, one: float, other: float) -> bool:
        """Say whether `one` is strictly better than `other`."""
        return one > other if self.direction == "max" else one < other

    def of_epoch(self, epoch: Epoch) -> float:
        """Give the figure of one epoch; for those that are not reported by epoch, the validation AUROC in its place."""
        return float(getattr(epoch, self.name if self.by_epoch else "validation_auroc"))

    def best(self, values: list[float]) -> float:
        """Give the best of `values`."""
        return max(values) if self.direction == "max" or not self.by_epoch else min(values)


BY_EPOCH: dict[str, Literal["max", "min"]] = {
    "validation_auroc": "max",
    "validation_loss": "min",
    "validation_accuracy": "max",
}


def parse(text: str) -> Objective:
    """Give the objective of that name.

    Raises:
        InputError: no run reports it.
    """
    if text in BY_EPOCH:
        return Objective(text, BY_EPOCH[text], by_epoch=True)
    if text == "shifted_auroc":
        return Objective(text, "max", by_epoch=False)
    if (match := re.fullmatch(r"sensitivity@(0?\.\d+)", text)) and float(match[1]) > 0:
        return Objective(text, "max", by_epoch=False, specificity=float(match[1]))
    known = ", ".join([*BY_EPOCH, "shifted_auroc", "sensitivity@0.90 (at that specificity)"])
    raise InputError(f"--objective {text} is not reported by a run; choose from {known}")


def sensitivity_at(labels: NDArray[np.int64], scores: NDArray[np.float64], specificity: float) -> float:
    """Give the largest sensitivity among thresholds whose specificity is at least `specificity`."""
    from sklearn.metrics import roc_curve

    false_alarms, sensitivity, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(sensitivity[1 - false_alarms >= specificity - 1e-12].max())


def scorer(objective: Objective, validation: Split) -> Callable[[RunConfig, Fitted], float]:
    """Give a function that judges a finished trial by the epoch whose weights were kept.

    `shifted_auroc` judges on validation images that are turned, moved, brightened and darkened within the run's own
    augmentation, the same for every trial: what a threshold meets in another hospital. They are made once and kept.
    """
    shifted: list[Split] = []

    def score(config: RunConfig, fitted: Fitted) -> float:
        from pipeline.infer import Scorer

        if objective.by_epoch:
            return objective.of_epoch(fitted.best)
        labels = validation.examples.labels
        if objective.specificity:
            scores = Scorer(fitted.network).logits(validation, config.data.cache)
            return sensitivity_at(labels, scores, objective.specificity)
        from sklearn.metrics import roc_auc_score

        if not shifted:
            shifted.append(_shifted(validation, config))
        return float(roc_auc_score(labels, Scorer(fitted.network).logits(shifted[0], "on")))

    return score


def _shifted(split: Split, config: RunConfig) -> Split:
    import tensorflow as tf

    from pipeline import augment
    from pipeline.config import AugmentConfig
    from pipeline.records import Examples, Split

    # Always the default changes: a trial that searches augmentation must not choose its own exam.
    changes, plain = AugmentConfig(), split.examples
    changed = []
    for number, first in enumerate(range(0, len(plain), SHIFT_BATCH)):
        images = plain.images[first : first + SHIFT_BATCH]
        uniform = augment.draw(SHIFT_SEED, number, len(images))
        moved = augment.apply(tf.constant(images), augment.sample(uniform, changes, split.image_size))
        changed.append(np.clip(np.round(moved.numpy()), 0, 255).astype(np.uint8))
    examples = Examples(np.concatenate(changed), plain.labels, plain.patients, plain.subtypes, plain.filenames)
    result = Split(split.name, (), len(examples), split.image_size)
    result.__dict__["examples"] = examples  # where the cached property looks first; there is no file to read
    return result
