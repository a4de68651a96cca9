"""What the answers of a run hang on is written beside its figures, and chooses nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline.config import DataConfig, EvaluationConfig, RunConfig
from pipeline.data.split import Examples, MemorySplit
from pipeline.evaluation.predictions import write_csv
from pipeline.evaluation.scoring import decide, score_splits
from pipeline.evaluation.shortcuts import EXPOSURE
from pipeline.evaluation.swaps import ASPECT, GREY_LEVELS, SHARPNESS
from pipeline.run_folder.folder import RunFolder
from pipeline.stages.examine import CHECKED_IMAGES, examine, stratified
from pipeline.stages.judge import predictions_of
from record_files import Streamed, write

SIDE = 32


def brightness(images):
    return images.mean(axis=(1, 2, 3)).astype(np.float64) / 255


class Border:
    """Says how bright the lowest rows are; knows no heat maps."""

    def __call__(self, images):
        return {"probability": self.probabilities(images)[:, None]}

    def probabilities(self, images):
        return brightness(images[:, -2:])


def run_of(place, layout="folders", count=40):
    labels = np.arange(count) % 4 > 0
    images = np.random.default_rng(0).integers(60, 120, (count, SIDE, SIDE, 1), dtype=np.uint8)
    images[labels, -4:] += 90
    names = np.array([f"{i}.jpeg" for i in range(count)])
    part = Examples(images, labels.astype(np.int64), names, np.where(labels, "virus", "normal"), names)
    splits = {name: MemorySplit(name, part) for name in ("train", "validation")}
    folder = RunFolder(place / "run")
    table = predictions_of(part, Border().probabilities(images))
    folder.path.mkdir()
    write_csv(folder.predictions, {"validation": table})
    metrics = score_splits({"validation": table}, decide(table, "youden"), 0, 20)
    folder.metrics.write_text(json.dumps(metrics))
    folder.robustness.write_text(json.dumps({"views": {"as they are": 1}, "smoothness": "of yesterday"}))
    dataset = place / "dataset"
    dataset.mkdir()
    (dataset / "metadata.json").write_text(json.dumps({"layout": layout, "source": str(place / "gone")}))
    config = RunConfig(data=DataConfig(dataset=dataset), evaluation=EvaluationConfig(resamples=100))
    return folder, splits, config, metrics


@pytest.mark.parametrize("layout", ["folders", "kermany"])
def test_a_model_that_reads_the_border_relies_on_it_wholly_and_everything_is_written(tmp_path, layout):
    folder, splits, config, metrics = run_of(tmp_path, layout)
    examine(folder, Border(), splits, config)
    after = json.loads(folder.metrics.read_text())
    assert after.pop("reliance")["left"] == 1.0
    assert after == metrics  # nothing else changed, no threshold either
    audit = json.loads(folder.shortcuts.read_text())
    assert audit["images"] == 40
    assert audit["sizes"].startswith("not known")
    rows = {row["name"]: row["auroc"] for row in audit["rows"]}
    assert rows["lung fields blacked out"] == rows["the whole image"] == 1.0
    assert rows["only the lung fields"] == 0.5
    assert {GREY_LEVELS, SHARPNESS} <= set(rows)
    assert (ASPECT in rows) == (layout == "kermany")
    assert ("published archive" in audit["sizes"]) == (layout == "kermany")  # by its medians, which is said
    robustness = json.loads(folder.robustness.read_text())
    assert robustness["views"] == {"as they are": 1}
    assert [row["images"] for row in robustness["smoothness"].values()] == [40, 40, 40]
    assert not folder.explanation.exists()


def test_the_checked_images_keep_the_proportion_of_the_classes():
    labels = np.repeat([0, 1], [300, 700])
    rows = stratified(labels, CHECKED_IMAGES, 0)
    assert np.bincount(labels[rows]).tolist() == [75, 175]
    assert len(np.unique(rows)) == 250
    assert (np.diff(rows) > 0).all()
    assert stratified(labels, CHECKED_IMAGES, 0).tolist() == rows.tolist()
    assert stratified(labels[:9], 250, 0).tolist() == list(range(9))
    rare = np.repeat([0, 1], [1, 999])
    assert 0 in stratified(rare, CHECKED_IMAGES, 0)


def test_training_images_that_are_streamed_teach_exposure_as_those_in_memory_do(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.stages.examine.TRAINING_IMAGES", 16)
    folder, splits, config, _ = run_of(tmp_path)
    stored = write(tmp_path, size=SIDE)
    streamed = Streamed(stored.name, stored.files, stored.count, stored.image_size)
    audits = []
    for train in (streamed, MemorySplit("train", stored.examples)):
        examine(folder, Border(), splits | {"train": train}, config)
        audits.append(json.loads(folder.shortcuts.read_text()))
    assert audits[0] == audits[1]
    assert EXPOSURE in [row["name"] for row in audits[0]["rows"]]


@pytest.mark.parametrize("rare", [1, 0])
def test_exposure_is_learnt_also_from_the_one_training_image_of_a_class(tmp_path, monkeypatch, rare):
    monkeypatch.setattr("pipeline.stages.examine.TRAINING_IMAGES", 8)
    folder, splits, config, _ = run_of(tmp_path)
    part = splits["train"].examples
    labels = np.ones(len(part), np.int64)
    labels[[17] * rare] = 0
    examine(folder, Border(), splits | {"train": MemorySplit("train", replace(part, labels=labels))}, config)
    rows = [row["name"] for row in json.loads(folder.shortcuts.read_text())["rows"]]
    assert (EXPOSURE in rows) == bool(rare), "of one class alone nothing can be learnt"
