"""The rows of both ladders: what each experiment starts from and the one thing that it changes.

`STUDY` has the original study's experiments, in its order. `RECIPE` takes our own recipe apart, one part at a time, so
that each part has a figure that says what it buys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.config import AugmentConfig, DataConfig, EvaluationConfig, FitConfig, ModelConfig, RunConfig

ALL_CHANGES = (
    "flip", "rotation", "zoom", "aspect", "shift", "shear", "brightness", "contrast", "gamma", "sharpness", "noise"
)  # fmt: skip
NOTHING = dict.fromkeys(ALL_CHANGES, 0.0)


@dataclass(frozen=True)
class Row:
    """One experiment."""

    changed: str
    """For the table."""
    start: str | None = None
    """Name of the row it starts from; None starts from the ladder's own base."""
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Group of settings to the fields that differ."""

    def applied(self, config: RunConfig) -> RunConfig:
        """Give `config` with this row's changes."""
        parts = {group: replace(getattr(config, group), **fields) for group, fields in self.changes.items()}
        return replace(config, **parts)


# As the study had it: no standardization, no class weights, no average of weights, no schedule, threshold as the images
# are. Its augmentation is ImageDataGenerator's: geometry alone.
STUDY_BASE = RunConfig(
    data=DataConfig(image_size=150, validation_fraction=0.05),
    augment=AugmentConfig(**{**NOTHING, "flip": 0.5, "rotation": 10.0, "zoom": 0.2, "shift": 0.1}, augment=False),
    model=ModelConfig(model="study", dropout=0.0, normalize=False),
    fit=FitConfig(ema_decay=0.0, class_weights=False, warmup=0.0, weight_decay=0.0, learning_rate=1e-3),
    evaluation=EvaluationConfig(threshold_under_shift=False),
)
STUDY: dict[str, Row] = {
    "base": Row("four-block CNN, 150 pixels, 5 % validation"),
    "augmented": Row("augmentation", "base", {"augment": {"augment": True}}),
    "dropout": Row("dropout 20 %", "augmented", {"model": {"dropout": 0.2}}),
    "256": Row("256 pixels", "dropout", {"data": {"image_size": 256}}),
    "split": Row("20 % validation split", "dropout", {"data": {"validation_fraction": 0.2}}),
    "split-256": Row("20 % validation split", "256", {"data": {"validation_fraction": 0.2}}),
    "l1": Row("L1 1e-5", "split", {"model": {"l1": 1e-5}}),
    "l2": Row("L2 1e-4", "split", {"model": {"l2": 1e-4}}),
    "transfer": Row(
        "InceptionV3, frozen", "split", {"model": {"model": "inception_v3", "pretrained_weights": "imagenet"}}
    ),
    "transfer-l1-l2": Row("L1 1e-5 and L2 1e-4", "transfer", {"model": {"l1": 1e-5, "l2": 1e-4}}),
}

RECIPE_BASE = RunConfig()
RECIPE: dict[str, Row] = {
    "recipe": Row("the default recipe"),
    "compact": Row("compact, no foreign weights", "recipe", {"model": {"model": "compact"}}),
    "random-start": Row("the same network from random weights", "recipe", {"model": {"pretrained_weights": "none"}}),
    "frozen": Row("only the last layer learns", "recipe", {"model": {"fine_tune_blocks": 0}}),
    "no-augmentation": Row("no augmentation", "recipe", {"augment": {"augment": False}}),
    "no-framing": Row("no zoom, aspect or shift", "recipe", {"augment": {"zoom": 0.0, "aspect": 0.0, "shift": 0.0}}),
    "no-exposure": Row(
        "no brightness, contrast or gamma", "recipe", {"augment": {"brightness": 0.0, "contrast": 0.0, "gamma": 0.0}}
    ),
    "no-sharpness": Row("no blur or sharpening", "recipe", {"augment": {"sharpness": 0.0}}),
    "no-noise": Row("no grain", "recipe", {"augment": {"noise": 0.0}}),
    "no-normalize": Row("no standardization of the image", "recipe", {"model": {"normalize": False}}),
    "no-average": Row("no moving average of weights", "recipe", {"fit": {"ema_decay": 0.0}}),
    "no-decay": Row("no weight decay", "recipe", {"fit": {"weight_decay": 0.0}}),
    "no-warmup": Row("no warm-up", "recipe", {"fit": {"warmup": 0.0}}),
    "no-class-weights": Row("no class weights", "recipe", {"fit": {"class_weights": False}}),
    "smoothing": Row("label smoothing 0.1", "recipe", {"fit": {"label_smoothing": 0.1}}),
    "mixup": Row("mixup up to 0.3", "recipe", {"fit": {"mixup": 0.3}}),
    "erasing": Row("random erasing of half the images", "recipe", {"augment": {"random_erasing": 0.5}}),
    "flips": Row("mirror images at test time", "recipe", {"evaluation": {"test_time_flip": True}}),
    "ensemble": Row("three seeds, one file", "recipe", {"fit": {"ensemble_size": 3}}),
}
