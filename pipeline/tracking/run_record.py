"""What trackers are told of a training: read from its run folder, so that the folder stays the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pneumo_tfds
from pipeline.config import RunConfig
from pipeline.config.config_json import to_dict
from pipeline.config.path_settings import is_path
from pipeline.run_folder import history
from pipeline.run_folder.folder import RunFolder
from pipeline.tracking.tracker import Value
from pipeline.tracking.tracking import Record
from pneumo_tfds.program.files import sha256_of

PICTURES = ("training_curves", "roc_*", "precision_recall_*", "confusion_matrix_*", "calibration_*")
"""Plots that hold no X-ray: pictures of patients are not handed on."""


def training_record(folder: RunFolder, config: RunConfig, *, ended: bool = False) -> Record:
    """Return what is known of a training; if it has ended, with its figures, pictures and the hash of its ONNX file."""
    epochs = list(_epochs(folder, config))
    if not ended:
        return Record("training", settings_of(config), epochs)
    metrics = folder.read_json(folder.metrics)
    return Record(
        "training", settings_of(config), epochs, dict(_figures(metrics)), _texts(folder, metrics), _pictures(folder),
        ended=True,
    )  # fmt: skip


def settings_of(config: RunConfig) -> dict[str, Value]:
    """Return every setting that has a value, by `group.name`, but no path, as it may name a person."""
    return {
        f"{group}.{name}": value if isinstance(value, str | float | int) else str(value)
        for group, settings in to_dict(config).items()
        for name, value in settings.items()
        if value is not None and not is_path(name, str(value))
    }


def curves_of(epoch: Mapping[str, float], prefix: str = "") -> tuple[int, dict[str, float]]:
    """Return the number of an epoch (fields of `pipeline.run_folder.history.Epoch`) and the values of its curves."""
    return int(epoch["epoch"]), {f"{prefix}{name}": value for name, value in epoch.items() if name != "epoch"}


def _epochs(folder: RunFolder, config: RunConfig) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the epochs of every network, in the order of training; those of several have the name before each curve."""
    data, networks = config.data, config.fit.ensemble_size
    divided = data.folds and not data.fold
    runs = {f"fold {number}/": folder.fold(number) for number in range(1, data.folds + 1)} if divided else {"": folder}
    for fold, run in runs.items():
        for number in range(networks):
            prefix = f"{fold}network {number + 1}/" if networks > 1 else fold
            yield from (curves_of(asdict(row), prefix) for row in history.read(run.history_of(number)))


def _figures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the figures of each split with the ends of their intervals, as far as there are any."""
    for split, figures in metrics["splits"].items():
        for name, ends in figures["intervals"].items():
            low, high = ends or (None, None)
            values = {name: figures[name], f"{name}_low": low, f"{name}_high": high}
            yield from ((f"{split}/{key}", float(value)) for key, value in values.items() if value is not None)
    yield "threshold", float(metrics["operating_point"]["threshold"])


def _texts(folder: RunFolder, metrics: Mapping[str, Any]) -> dict[str, str]:
    manifest = metrics["dataset"].get("manifest_sha256")
    texts = {"pneumo_version": pneumo_tfds.__version__, "training_manifest_sha256": manifest}
    if folder.onnx.exists():
        texts["onnx_sha256"] = sha256_of(folder.onnx)
    return {name: text for name, text in texts.items() if text}


def _pictures(folder: RunFolder) -> dict[str, Path]:
    return {path.stem: path for pattern in PICTURES for path in sorted(folder.plots.glob(f"{pattern}.png"))}
