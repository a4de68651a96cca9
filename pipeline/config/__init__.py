"""Every setting of a run: the groups of flags, their defaults and bounds, and `config.json`."""

from __future__ import annotations

from pipeline.config.data_settings import BuiltDataset, DataConfig, HoldOut, Switch
from pipeline.config.groups import (
    AugmentConfig,
    EvaluationConfig,
    FitConfig,
    Precision,
    RunCommand,
    RunConfig,
    SearchConfig,
)
from pipeline.config.model_settings import ModelConfig, ModelName, WeightsError

__all__ = [
    "AugmentConfig", "BuiltDataset", "DataConfig", "EvaluationConfig", "FitConfig", "HoldOut", "ModelConfig",
    "ModelName", "Precision", "RunCommand", "RunConfig", "SearchConfig", "Switch", "WeightsError",
]  # fmt: skip
