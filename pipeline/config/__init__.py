"""Every setting of a run: the groups of flags, their defaults and bounds, and `config.json`."""

from __future__ import annotations

from pipeline.config.groups import (
    AugmentConfig,
    BuiltDataset,
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
    "AugmentConfig", "BuiltDataset", "DataConfig", "EvaluationConfig", "FitConfig", "HoldOut", "ModelConfig",
    "ModelName", "Precision", "RunCommand", "RunConfig", "SearchConfig", "Switch", "WeightsError",
]  # fmt: skip
