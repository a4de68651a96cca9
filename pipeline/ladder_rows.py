"""The experiments of both ladders: what each starts from, and the one thing that it changes.

`STUDY` has the original study's experiments, in its order. `RECIPE` takes the default recipe apart, one part at a time,
so that each part has a figure that shows its effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.config import AugmentConfig, DataConfig, EvaluationConfig, FitConfig, ModelConfig, RunConfig

CHANGES = "flip rotation zoom aspect shift shear brightness contrast gamma sharpness noise histogram_swap"
NOTHING = dict.fromkeys(CHANGES.split(), 0.0)


@dataclass(frozen=True)
class Experiment:
    """One row of a ladder."""

    changed: str
    """What it changes, in words for the table."""
    start: str | None = None
    """Name of the experiment it starts from; None starts from the ladder's base settings."""
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Group of settings to the fields that differ."""

    def applied(self, config: RunConfig) -> RunConfig:
        """Return `config` with the changes of this experiment."""
        parts = {group: replace(getattr(config, group), **fields) for group, fields in self.changes.items()}
        return replace(config, **parts)


# The study's settings: no standardization, no class weights, no average of weights, no schedule, and a threshold from
# the images as they are. Its augmentation is that of ImageDataGenerator: geometry alone.
STUDY_BASE = RunConfig(
    data=DataConfig(image_size=150, validation_fraction=0.05),
    augment=AugmentConfig(**{**NOTHING, "flip": 0.5, "rotation": 10.0, "zoom": 0.2, "shift": 0.1}, augment=False),
    model=ModelConfig(model="study", dropout=0.0, normalize=False),
    fit=FitConfig(ema_decay=0.0, class_weights=False, warmup=0.0, weight_decay=0.0, learning_rate=1e-3),
    evaluation=EvaluationConfig(threshold_under_shift=False),
)
STUDY: dict[str, Experiment] = {
    "base": Experiment("four-block CNN, 150 pixels, 5 % validation"),
    "augmented": Experiment("augmentation", "base", {"augment": {"augment": True}}),
    "dropout": Experiment("dropout 20 %", "augmented", {"model": {"dropout": 0.2}}),
    "256": Experiment("256 pixels", "dropout", {"data": {"image_size": 256}}),
    "split": Experiment("20 % validation split", "dropout", {"data": {"validation_fraction": 0.2}}),
    "split-256": Experiment("20 % validation split", "256", {"data": {"validation_fraction": 0.2}}),
    "l1": Experiment("L1 1e-5", "split", {"model": {"l1": 1e-5}}),
    "l2": Experiment("L2 1e-4", "split", {"model": {"l2": 1e-4}}),
    "transfer": Experiment(
        "InceptionV3, frozen", "split", {"model": {"model": "inception_v3", "pretrained_weights": "imagenet"}}
    ),
    "transfer-l1-l2": Experiment("L1 1e-5 and L2 1e-4", "transfer", {"model": {"l1": 1e-5, "l2": 1e-4}}),
}


def _recipe(changed: str, **changes: Mapping[str, Any]) -> Experiment:
    """Return an experiment that starts from the default recipe."""
    return Experiment(changed, "recipe", changes)


RECIPE: dict[str, Experiment] = {
    "recipe": Experiment("the default recipe"),
    "compact": _recipe("compact network, no pretrained weights", model={"model": "compact"}),
    "random-start": _recipe("the same network from random weights", model={"pretrained_weights": "none"}),
    "frozen": _recipe("only the last layer is trained", model={"fine_tune_blocks": 0}),
    "no-augmentation": _recipe("no augmentation", augment={"augment": False}),
    "no-framing": _recipe("no zoom, aspect or shift", augment={"zoom": 0.0, "aspect": 0.0, "shift": 0.0}),
    "no-exposure": _recipe(
        "no brightness, contrast or gamma", augment={"brightness": 0.0, "contrast": 0.0, "gamma": 0.0}
    ),
    "no-sharpness": _recipe("no blur or sharpening", augment={"sharpness": 0.0}),
    "no-noise": _recipe("no noise", augment={"noise": 0.0}),
    "no-histogram-swap": _recipe("no grey levels of the other class", augment={"histogram_swap": 0.0}),
    "whole-image": _recipe("the whole image and not the lungs alone", model={"crop": "none"}),
    "no-normalize": _recipe("no standardization of the image", model={"normalize": False}),
    "no-average": _recipe("no moving average of weights", fit={"ema_decay": 0.0}),
    "no-decay": _recipe("no weight decay", fit={"weight_decay": 0.0}),
    "no-warmup": _recipe("no warm-up", fit={"warmup": 0.0}),
    "no-class-weights": _recipe("no class weights", fit={"class_weights": False}),
    "smoothing": _recipe("label smoothing 0.1", fit={"label_smoothing": 0.1}),
    "mixup": _recipe("mixup up to 0.3", fit={"mixup": 0.3}),
    "erasing": _recipe("random erasing of half the images", augment={"random_erasing": 0.5}),
    "flips": _recipe("mirror images at test time", evaluation={"test_time_flip": True}),
    "ensemble": _recipe("three seeds, one file", fit={"ensemble_size": 3}),
}
