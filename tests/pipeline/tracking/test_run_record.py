"""What is told of a training: what its run folder holds, without paths and without X-rays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pipeline.config import DataConfig, EvaluationConfig, FitConfig, ModelConfig, RunConfig, SearchConfig
from pipeline.run_folder import history
from pipeline.run_folder.folder import RunFolder
from pipeline.tracking.run_record import settings_of, training_record
from pneumo_tfds.program.files import sha256_of

METRICS = {
    "dataset": {"manifest_sha256": "cd" * 32},
    "splits": {
        "test": {"auroc": 0.9, "npv": None, "intervals": {"auroc": [0.8, 0.95], "npv": None}},
        "validation": {"auroc": 0.7, "intervals": {"auroc": None}},
    },
    "operating_point": {"threshold": 0.4},
}


def test_figures_have_the_ends_of_their_intervals_and_the_onnx_file_its_hash(tmp_path):
    folder = RunFolder(tmp_path)
    for number in (1, 2):
        history.append(folder.history, history.Epoch(number, *np.linspace(0.1, 0.8, 8)))
    folder.metrics.write_text(json.dumps(METRICS))
    folder.onnx.write_bytes(b"model")
    folder.plots.mkdir()
    for name in ("roc_test", "training_curves", "confusion_matrix_test", "mistakes_test", "examples"):
        (folder.plots / f"{name}.png").touch()
    told = training_record(folder, RunConfig(), ended=True)
    assert told.figures == {
        "test/auroc": 0.9, "test/auroc_low": 0.8, "test/auroc_high": 0.95, "validation/auroc": 0.7, "threshold": 0.4
    }  # fmt: skip
    assert told.texts["onnx_sha256"] == sha256_of(folder.onnx)
    assert set(told.pictures) == {"roc_test", "training_curves", "confusion_matrix_test"}  # the others show X-rays
    assert [(number, values["loss"]) for number, values in told.epochs] == [(1, 0.1), (2, 0.1)]
    assert not training_record(folder, RunConfig()).ended


def test_the_networks_of_an_ensemble_have_curves_of_their_own(tmp_path):
    folder, config = RunFolder(tmp_path), RunConfig(fit=FitConfig(ensemble_size=2))
    for network in (0, 1):
        history.append(folder.history_of(network), history.Epoch(1, *[0.1 + network] * 8))
    told = [
        (number, name, values[name]) for number, values in training_record(folder, config).epochs for name in values
    ]
    assert (1, "network 1/loss", 0.1) in told
    assert (1, "network 2/loss", 1.1) in told


def test_folds_have_curves_of_their_own_in_the_order_of_training(tmp_path):
    folder, config = RunFolder(tmp_path), RunConfig(data=DataConfig(folds=2))
    for fold in (1, 2):
        history.append(folder.fold(fold).history, history.Epoch(1, *[0.1 + fold] * 8))
    told = training_record(folder, config).epochs
    assert [(number, values[f"fold {fold}/loss"]) for fold, (number, values) in enumerate(told, start=1)] == [
        (1, 1.1), (1, 2.1),
    ]  # fmt: skip
    alone = RunConfig(data=DataConfig(folds=2, fold=2))
    assert [values["loss"] for _, values in training_record(folder.fold(2), alone).epochs] == [2.1]


def test_no_path_is_told():
    config = RunConfig(
        data=DataConfig(source=Path("/clinic/doe"), corrections=(Path("clinic/a.csv"),), layout="clinic/own.toml"),
        model=ModelConfig(pretrained_weights="/clinic/weights.pt"),
        evaluation=EvaluationConfig(also_judge=(Path("/clinic/roe"), Path("clinic/other"))),
        search=SearchConfig(ranges=("dropout=0.3",)),
    )
    told = settings_of(config)
    assert not [value for value in told.values() if "clinic" in str(value)]
    assert (told["fit.epochs"], told["search.ranges"]) == (config.fit.epochs, "['dropout=0.3']")
    assert settings_of(RunConfig(data=DataConfig(layout="kermany")))["data.layout"] == "kermany"  # no file
