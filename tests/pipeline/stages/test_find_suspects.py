"""Suspects of a run with folds: wrong labels that the networks see, and near copies under other labels."""

import csv
import json

import cv2
import numpy as np
import pytest

from pipeline.config import DataConfig, RunConfig
from pipeline.data.split import Examples, MemorySplit
from pipeline.evaluation.predictions import write_csv
from pipeline.run_folder.folder import RunFolder
from pipeline.stages import find_suspects as module
from pipeline.stages.judge import predictions_of

SIDE = 64
COPY, OTHER_COPY = (2, 13), (4, 6)
"""The second is a changed copy of the first: of the other label, and of the same one."""
WRONG = 9


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run over 20 textures that its networks tell apart well; image 9 has the wrong label."""
    images = np.stack([texture(number) for number in range(20)])
    for one, other in (COPY, OTHER_COPY):
        images[other] = np.roll(images[one][:, ::-1], 1, axis=0) // 2 + 60
    names = np.array([f"{number}.png" for number in range(20)])
    examples = Examples(images[..., None], np.arange(20) % 2, names, np.full(20, "unknown"), names)
    sure = np.where(examples.labels, 0.99, 0.01)
    sure[WRONG] = 0.005
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.write_config(RunConfig(data=DataConfig(dataset=tmp_path, folds=2)))
    order = np.random.default_rng(0).permutation(20)
    folds = {f"fold-{k}": predictions_of(examples.take(half), sure[half]) for k, half in enumerate(np.split(order, 2))}
    write_csv(run.out_of_fold, folds)
    run.folds.write_text(json.dumps({"pooled": {"auroc": 0.99}}))
    monkeypatch.setattr(module, "splits_of", lambda data: {"train": MemorySplit("train", examples)})
    monkeypatch.setattr(module, "read_manifest", lambda folder: dict.fromkeys(names.tolist(), "ab" * 32))
    monkeypatch.setattr(module, "_neighbours", lambda run, examples, rows: [()] * len(rows))
    return run


def texture(seed):
    small = np.random.default_rng(seed).integers(0, 255, (16, 16), np.uint8)
    return cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def test_wrong_labels_come_first_and_then_each_near_copy_under_the_other_label(run):
    said = module.find_suspects(run.path)
    assert said[0].startswith("3 images of 20 (15.0%) may have the wrong label, 2 of them nearly identical to one of")
    rows = list(csv.DictReader(run.suspects.read_text().splitlines()))
    assert [row["filename"] for row in rows] == [f"{WRONG}.png", *(f"{number}.png" for number in COPY)]
    assert [row["suggested"] for row in rows] == ["NORMAL", "PNEUMONIA", "NORMAL"]
    assert float(rows[0]["probability_of_label"]) == pytest.approx(0.005)


def test_the_page_shows_both_copies_beside_each_other(run):
    module.find_suspects(run.path)
    page = run.suspects_page.read_text()
    assert page.count("Nearly identical to this image of the other label") == 2
    assert all(page.count(f"{number}.png") == 2 for number in COPY)
    assert all(f"{number}.png" not in page for number in OTHER_COPY)


def test_the_command_to_go_on_with_accepts_what_the_run_accepted_of_its_source(run):
    assert "--source SAME --folds 2 --corrections" in module.find_suspects(run.path)[-1]
    run.write_config(RunConfig(data=DataConfig(dataset=run.path.parent, folds=2, yes=True)))
    assert "--source SAME --yes --folds 2 --corrections" in module.find_suspects(run.path)[-1]


@pytest.mark.parametrize(("auroc", "warned"), [(0.52, True), (0.9, False)])
def test_a_list_of_networks_that_tell_nothing_apart_is_called_useless_first(run, auroc, warned):
    run.folds.write_text(json.dumps({"pooled": {"auroc": auroc}}))
    said = module.find_suspects(run.path)
    assert said[0].startswith("warning: the networks hardly tell the classes apart") == warned
    assert ("this list is of little use" in run.suspects_page.read_text()) == warned
