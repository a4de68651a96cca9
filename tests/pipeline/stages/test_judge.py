"""The central promise: everything is decided on validation and locked before any image of test is opened."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.config import DataConfig, EvaluationConfig, FitConfig, ModelConfig, RunConfig
from pipeline.config.guarantee import candidates
from pipeline.data.split import Examples, MemorySplit
from pipeline.evaluation.doubt import limits
from pipeline.evaluation.evaluation_lock import verify
from pipeline.evaluation.predictions import DIGEST, read_csv
from pipeline.evaluation.robustness import UNCHANGED, pooled, through_changes
from pipeline.evaluation.scoring import Decision, calibrated, decide
from pipeline.networks.forward_pass import LogitsFn
from pipeline.run_folder.folder import RunFolder
from pipeline.stages import judge as module
from pipeline.stages.judge import judge, predictions_of
from pneumo_tfds.program.files import sha256_of
from record_files import Streamed, write

SIDE = 8


def examples(name, count, brightness=0.0):
    """Images of about one grey level each, brighter where there is pneumonia, but not always."""
    generator = np.random.default_rng([len(name), count])
    labels = np.arange(count) % 2
    levels = generator.normal(90 + 60 * labels + brightness, 50)
    images = levels[:, None, None, None] + generator.normal(0, 5, (count, SIDE, SIDE, 1))
    names = np.array([f"{name}{i}.jpeg" for i in range(count)])
    patients, kinds = np.array([f"{name}-patient{i // 2}" for i in range(count)]), np.where(labels, "virus", "normal")
    return Examples(np.clip(images, 0, 255).astype(np.uint8), labels, patients, kinds, names)


class Guarded:
    """A split of which nothing may be used, not even its size, before the run is locked."""

    def __init__(self, split, folder):
        self._split, self._folder = split, folder
        self.locks_when_used = []

    def __getattr__(self, name):
        assert self._folder.evaluation_lock.exists(), f"{name} of a split was used before the lock was written"
        self.locks_when_used.append(self._folder.evaluation_lock.read_bytes())
        return getattr(self._split, name)


class Forbidden:
    """A split of which nothing may be used at all."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} of a split was used that is not to be scored")


@pytest.fixture(scope="module")
def network():
    """A network that reads the mean grey level, too confidently."""
    image = keras.Input((SIDE, SIDE, 1))
    logit = keras.layers.Dense(1, name="logit")
    network = keras.Model(image, logit(keras.layers.GlobalAveragePooling2D()(image)))
    logit.set_weights([np.array([[0.08]]), np.array([-8.0])])
    return network


@pytest.fixture
def judged(tmp_path, monkeypatch, network):
    """Judge a run whose test split may be opened after the lock alone; return the folder and that split."""
    monkeypatch.setattr(module, "describe", lambda dataset: {"name": "a dataset"})

    def run(config, test, name="run"):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir()
        folder.config.write_text("{}")
        splits = {"train": Forbidden(), "validation": MemorySplit("validation", examples("validation", 60))}
        splits["test"] = guarded = Guarded(MemorySplit("test", test), folder)
        judge(folder, config, network, splits)
        return folder, guarded

    return run


@pytest.fixture(params=[True, False], ids=["under shift", "as it is"])
def config(request):
    return RunConfig(
        data=DataConfig(dataset=Path("datasets/gray_32/1.0.0")),
        fit=FitConfig(class_weights=request.param),
        evaluation=EvaluationConfig(
            threshold_under_shift=request.param, threshold_rule="sensitivity>=0.8", resamples=100, evaluation_seed=3
        ),
    )


def read(path):
    return json.loads(path.read_text())


def test_test_is_opened_only_after_the_lock_and_the_lock_is_not_written_again(judged, config):
    folder, test = judged(config, examples("test", 40))
    assert test.locks_when_used, "test was never scored"
    assert set(test.locks_when_used) == {folder.evaluation_lock.read_bytes()}
    assert read(folder.evaluation_lock)["earlier"] == []
    assert verify(folder).kept
    assert {name: len(table) for name, table in read_csv(folder.predictions).items()} == {"validation": 60, "test": 40}
    assert read(folder.metrics)[DIGEST] == sha256_of(folder.predictions)


def test_the_decision_that_scores_test_is_that_of_validation(judged, config, network):
    folder, _ = judged(config, examples("test", 40, brightness=40))
    images, score = examples("validation", 60), LogitsFn(network).probabilities
    validation = predictions_of(images, score(images.images))
    changed = through_changes(images.images, config.evaluation)
    views = {UNCHANGED: validation} | {name: predictions_of(images, score(seen)) for name, seen in changed}
    expected = decide(validation, "sensitivity>=0.8", with_bias=config.fit.class_weights, views=pooled(views))
    metrics, point = read(folder.metrics), expected.operating_point
    found = Decision.from_json(metrics, folder.metrics)
    assert replace(found, doubt=None) == expected
    doubt = limits([calibrated(view, expected) for view in views.values()], point.threshold, candidates("auto"), 0.5)
    assert found.doubt == doubt
    locked = read(folder.evaluation_lock)["locked"]
    assert (locked["temperature"], locked["bias"]) == (expected.temperature, expected.bias)
    assert (locked["threshold"], locked["rule"]) == (point.threshold, point.rule)
    assert folder.robustness.exists() == config.evaluation.threshold_under_shift
    called = read_csv(folder.predictions)["test"].probabilities >= point.threshold
    assert metrics["splits"]["test"]["sensitivity"] == called[1::2].mean()


def test_another_test_split_changes_nothing_but_its_own_figures(judged, config):
    first, _ = judged(config, examples("test", 40), "first")
    other, _ = judged(config, examples("other", 30, brightness=80), "other")
    assert read(first.evaluation_lock)["locked"] == read(other.evaluation_lock)["locked"]
    assert first.model.read_bytes() == other.model.read_bytes()
    if config.evaluation.threshold_under_shift:
        assert first.robustness.read_bytes() == other.robustness.read_bytes()
    figures, others = read(first.metrics), read(other.metrics)
    assert figures.pop(DIGEST) != others.pop(DIGEST)
    assert figures["splits"].pop("test") != others["splits"].pop("test")
    assert figures == others


def test_training_images_that_are_streamed_are_compared_with_as_those_in_memory_are(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "describe", lambda dataset: {"name": "a dataset"})
    monkeypatch.setattr("pipeline.training.reference_images.LARGEST", 20)
    image = keras.Input((SIDE, SIDE, 1))
    mean = keras.layers.GlobalAveragePooling2D()(image)
    corners = keras.layers.Flatten(name="statistics1")(image[:, ::7, ::7])
    network = keras.Model(image, {"logit": keras.layers.Dense(1)(mean), "statistics1": corners})
    config = RunConfig(
        data=DataConfig(dataset=Path("datasets/gray_32/1.0.0")),
        model=ModelConfig(model="compact"),
        evaluation=EvaluationConfig(resamples=100, threshold_under_shift=False),
    )
    stored = write(tmp_path, size=SIDE)
    streamed = Streamed(stored.name, stored.files, stored.count, stored.image_size)
    for name, train in (("streamed", streamed), ("memory", MemorySplit("train", stored.examples))):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir()
        folder.config.write_text("{}")
        judge(folder, config, network, {"train": train, "validation": MemorySplit("validation", examples("v", 60))})
    once, again = (RunFolder(tmp_path / name).predictions.read_bytes() for name in ("streamed", "memory"))
    assert once == again
    assert not np.isnan(read_csv(RunFolder(tmp_path / "streamed").predictions)["validation"].familiarity).any()
