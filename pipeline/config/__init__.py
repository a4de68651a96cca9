"""Every setting of a run: the groups of flags, their defaults and bounds, and `config.json`."""

from __future__ import annotations

from pipeline.config.built_dataset import BuiltDataset
from pipeline.config.groups import (
    PRETRAINED_BLOCKS,
    SMALLEST_IMAGE,
    WEIGHTS_INSTALLED,
    AugmentConfig,
    DataConfig,
    EvaluationConfig,
    FitConfig,
    HoldOut,
    ModelConfig,
    ModelName,
    Precision,
    RunCommand,
    RunConfig,
    SearchConfig,
    Switch,
    WeightsError,
)

__all__ = [
    "PRETRAINED_BLOCKS",
    "SMALLEST_IMAGE",
    "WEIGHTS_INSTALLED",
    "AugmentConfig",
    "BuiltDataset",
    "DataConfig",
    "EvaluationConfig",
    "FitConfig",
    "HoldOut",
    "ModelConfig",
    "ModelName",
    "Precision",
    "RunCommand",
    "RunConfig",
    "SearchConfig",
    "Switch",
    "WeightsError",
]
