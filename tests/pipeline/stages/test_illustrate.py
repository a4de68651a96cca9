"""The plots and the page of a run, drawn again by a later evaluation."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from pipeline.data.split import Examples, MemorySplit
from pipeline.evaluation.predictions import write_csv
from pipeline.evaluation.scoring import decide, score_splits
from pipeline.networks.forward_pass import OutputsFn
from pipeline.run_folder.folder import RunFolder
from pipeline.stages.illustrate import illustrate
from pipeline.stages.judge import predictions_of
from record_files import Streamed, write

SIDE = 8


@pytest.fixture(scope="module")
def model():
    """A model without heat maps."""
    image = keras.Input((SIDE, SIDE, 1))
    return keras.Model(image, {"probability": keras.layers.GlobalAveragePooling2D()(image)})


def test_a_picture_of_errors_goes_when_a_later_evaluation_has_none(tmp_path, model):
    labels = np.arange(40) % 2
    images = np.zeros((40, SIDE, SIDE, 1), np.uint8)
    names, kinds = np.array([f"{i}.jpeg" for i in range(40)]), np.where(labels, "virus", "normal")
    splits = {"test": MemorySplit("test", Examples(images, labels, names, kinds, names))}
    right = predictions_of(splits["test"].examples, np.where(labels, 0.9, 0.1))
    folder = RunFolder(tmp_path / "run")
    drawn = []
    for table in (right.with_probabilities(np.where(np.arange(40) < 3, 0.9, right.probabilities)), right):
        write_csv(folder.predictions, {"test": table})
        folder.metrics.write_text(json.dumps(score_splits({"test": table}, decide(right, "youden"), 0, 20)))
        illustrate(folder, OutputsFn(model), splits, seed=0)
        drawn.append((folder.plots / "mistakes_test.png").exists())
        assert ("The most confident errors" in folder.report.read_text()) == drawn[-1]
    assert drawn == [True, False]


def test_a_split_that_is_streamed_is_drawn_as_one_in_memory_is(tmp_path, model):
    stored = write(tmp_path, size=SIDE)
    streamed = Streamed(stored.name, stored.files, stored.count, stored.image_size)
    table = predictions_of(stored.examples, np.where(np.arange(stored.count) % 3, 0.9, 0.1))
    folder, drawn = RunFolder(tmp_path / "run"), []
    for train in (streamed, MemorySplit("train", stored.examples)):
        write_csv(folder.predictions, {"validation": table})  # as out of fold: its images are those of train
        folder.metrics.write_text(json.dumps(score_splits({"validation": table}, decide(table, "youden"), 0, 20)))
        illustrate(folder, OutputsFn(model), {"train": train}, seed=0)
        drawn.append({path.name: path.read_bytes() for path in folder.plots.iterdir()})
    assert drawn[0] == drawn[1]
    assert {"examples.png", "class_distribution.png", "mistakes_validation.png"} <= set(drawn[0])
