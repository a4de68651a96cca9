"""Judging a run once more, or on other X-rays: the run's own choice is applied, and what is not judged stays.

The model is a stand-in that says an image's mean grey level; what Keras and the pictures do is tested elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest

from mean_grey import OutputsFn
from pipeline.config import DataConfig, EvaluationConfig, RunConfig
from pipeline.data.split import Examples, MemorySplit
from pipeline.evaluate import Evaluate, evaluate
from pipeline.evaluation.predictions import read_csv, write_csv
from pipeline.evaluation.scoring import decide
from pipeline.report.terminal import show
from pipeline.run_folder.folder import RunFolder
from pipeline.stages import evaluate_run, judge
from pneumo_tfds.program.errors import InputError

SIDE = 4
SEED = 3
OLD = 0.75
"""What was answered on the earlier day."""
ORIGIN = {"pretrained_weights": {"name": "made"}, "software": {"pneumo": "0.0.1"}}


def examples(name, count):
    """Images of one grey level each, brighter where there is pneumonia, but not always."""
    labels = np.arange(count) % 2
    generator = np.random.default_rng(len(name) + count)
    levels = np.clip(generator.normal(90 + 80 * labels, 50), 5, 250).astype(np.uint8)
    names = np.array([f"{name}{i}.jpeg" for i in range(count)])
    kinds = np.where(labels == 1, "virus", "normal")
    images = np.broadcast_to(levels[:, None, None, None], (count, SIDE, SIDE, 1))
    return Examples(images, labels, np.array([f"{name}-patient{i // 2}" for i in range(count)]), kinds, names)


def told(part):
    """What the stand-in says of the images."""
    return OutputsFn().probabilities(part.images)


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A finished run whose predictions and figures are of an earlier day, its dataset, and what was drawn."""
    made = SimpleNamespace(run=RunFolder(tmp_path / "run"), dataset=tmp_path / "dataset", drawn=[])
    made.splits = {
        name: MemorySplit(name, examples(name, n)) for name, n in (("train", 60), ("validation", 40), ("test", 30))
    }
    config = RunConfig(
        data=DataConfig(dataset=made.dataset, image_size=32),
        evaluation=EvaluationConfig(resamples=100, evaluation_seed=SEED),
    )
    made.run.path.mkdir()
    made.run.write_config(config)
    part = made.splits["validation"].examples
    decision = decide(judge.predictions_of(part, told(part)), "sensitivity>=0.9")
    point = {"operating_point": asdict(decision.operating_point), "temperature": decision.temperature, "bias": 0.25}
    calibration = {"fitted_on": "validation", **decision.calibration}
    made.run.metrics.write_text(json.dumps({**point, **ORIGIN, "calibration": calibration, "splits": {}}))
    made.point = point
    parts = {name: split.examples for name, split in made.splits.items()}
    earlier = {name: judge.predictions_of(part, np.full(len(part), OLD)) for name, part in parts.items()}
    write_csv(made.run.predictions, earlier)

    stand_ins = {
        "load_model": lambda path: "the model" if path == made.run.model else None,
        "OutputsFn": OutputsFn,
        "splits_of": lambda data: made.splits if data.dataset == made.dataset else None,
        "examine": lambda *what: None,
        "illustrate": lambda *what, **how: made.drawn.append((*what, how)),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(evaluate_run, name, stand_in)
    monkeypatch.setattr(judge, "describe", lambda dataset: {"name": str(dataset.folder)})
    monkeypatch.setenv("COLUMNS", "200")
    return made


def figures_of(folder):
    return json.loads(folder.metrics.read_text())


def test_the_runs_own_splits_are_scored_again_by_the_runs_own_choice(world, capsys):
    evaluate(Evaluate(run_folder=world.run.path))
    found = figures_of(world.run)
    assert found["operating_point"] == world.point["operating_point"]
    assert (found["temperature"], found["bias"]) == (world.point["temperature"], 0.25)
    assert found["dataset"] == {"name": str(world.dataset)}
    assert {name: found[name] for name in ORIGIN} == ORIGIN  # of training, and not of today
    assert found["bootstrap"]["seed"] == SEED
    assert found["bootstrap"]["resamples"] == 100
    assert {name: split["n"] for name, split in found["splits"].items()} == {"train": 60, "validation": 40, "test": 30}
    tables = read_csv(world.run.predictions)
    for name in ("validation", "test"):
        part = world.splits[name].examples
        assert tables[name].filenames.tolist() == part.filenames.tolist()
        assert tables[name].probabilities == pytest.approx(told(part), abs=1e-7)
    assert set(tables["train"].probabilities) == {OLD}  # not asked for, and kept
    ((folder, ask, splits, seed, how),) = world.drawn
    assert (folder.path, type(ask), seed, how) == (world.run.path, OutputsFn, SEED, {"show_names": False})
    assert splits is world.splits
    assert "validation (n=40)" in capsys.readouterr().out


def test_figures_are_of_the_probabilities_as_the_file_has_them(world):
    """So that anyone can compute them again from predictions.csv: a threshold between them parts both alike."""
    evaluate(Evaluate(run_folder=world.run.path))
    table, point = read_csv(world.run.predictions)["test"], world.point["operating_point"]
    called = table.probabilities >= point["threshold"]
    found = figures_of(world.run)["splits"]["test"]
    assert found["sensitivity"] == called[table.labels == 1].mean()
    assert found["brier"] == pytest.approx(np.mean((table.probabilities - table.labels) ** 2), rel=1e-12)


def test_names_are_shown_only_if_asked_for(world):
    for asked in (False, True):
        evaluate(Evaluate(run_folder=world.run.path, show_names=asked))
        assert world.drawn[-1][-1] == {"show_names": asked}
    assert not Evaluate(run_folder=world.run.path).show_names


def test_one_split_is_scored_and_the_others_stay(world):
    evaluate(Evaluate(run_folder=world.run.path, split="test"))
    assert kept(world) == {"train", "validation"}
    evaluate(Evaluate(run_folder=world.run.path, split="train"))
    assert kept(world) == {"validation"}


def kept(world):
    """The splits whose answers are those of the earlier day."""
    return {name for name, table in read_csv(world.run.predictions).items() if set(table.probabilities) == {OLD}}


def test_images_that_are_not_those_of_the_training_are_not_scored(world):
    """As if folds were dealt in another way now."""
    train, validation = world.splits["train"].examples, world.splits["validation"].examples
    world.splits["validation"] = MemorySplit("validation", train.take(np.arange(len(validation))))
    before = world.run.metrics.read_bytes(), world.run.predictions.read_bytes()
    for split in ("all", "test"):
        with pytest.raises(InputError, match=r"images of validation are no longer .* train it again: python"):
            evaluate(Evaluate(run_folder=world.run.path, split=split))
    assert (world.run.metrics.read_bytes(), world.run.predictions.read_bytes()) == before


def test_rows_that_stay_are_those_of_the_figures_or_nothing_is_scored(world):
    evaluate(Evaluate(run_folder=world.run.path))
    world.run.predictions.write_text(world.run.predictions.read_text().replace("0.75", "0.25"))  # of train
    before = world.run.metrics.read_bytes(), world.run.predictions.read_bytes()
    for split in ("all", "test", "train"):
        with pytest.raises(
            InputError, match=r"predictions\.csv has changed since metrics\.json .* would stay; restore"
        ):
            evaluate(Evaluate(run_folder=world.run.path, split=split))
    assert (world.run.metrics.read_bytes(), world.run.predictions.read_bytes()) == before


def test_a_changed_table_whose_rows_are_all_scored_again_is_replaced(world):
    world.run.predictions.unlink()
    evaluate(Evaluate(run_folder=world.run.path))
    good = world.run.predictions.read_bytes()
    world.run.predictions.write_bytes(good.replace(b"PNEUMONIA", b"NORMAL"))
    evaluate(Evaluate(run_folder=world.run.path))
    assert world.run.predictions.read_bytes() == good


def test_without_a_table_of_predictions_one_is_made(world):
    world.run.predictions.unlink()
    evaluate(Evaluate(run_folder=world.run.path))
    assert list(read_csv(world.run.predictions)) == ["validation", "test"]
    assert set(figures_of(world.run)["splits"]) == {"validation", "test"}


def test_a_split_that_is_not_there_is_refused_and_nothing_changes(world):
    before = world.run.metrics.read_bytes(), world.run.predictions.read_bytes()
    with pytest.raises(InputError) as refused:
        evaluate(Evaluate(run_folder=world.run.path, split="held_out"))
    assert str(refused.value) == f"--split held_out is not in {world.dataset}; it has train, validation, test"
    assert (world.run.metrics.read_bytes(), world.run.predictions.read_bytes()) == before


def test_a_run_that_is_none_or_unfinished_is_one_clear_error(world):
    with pytest.raises(InputError, match="is not a run folder"):
        evaluate(Evaluate(run_folder=world.run.path / "gone"))
    world.run.metrics.unlink()
    with pytest.raises(InputError, match=r"metrics\.json is not there"):
        evaluate(Evaluate(run_folder=world.run.path))


def test_the_table_has_every_figure_of_every_split_with_its_interval(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    folder = RunFolder(tmp_path)
    names = ("auroc", "accuracy", "sensitivity", "specificity", "average_precision", "brier", "ece")
    validation = {name: 0.5 + 0.01 * i for i, name in enumerate(names)} | {"n": 40}
    counts = {"confusion_matrix": {"tp": 60, "fn": 60, "tn": 60, "fp": 60}}
    intervals = {name: [value - 0.2, value + 0.1] for name, value in validation.items() if name not in ("n", "ece")}
    test = dict.fromkeys(names) | {"n": 7, "intervals": dict.fromkeys(names)} | counts
    content = {
        "splits": {"validation": validation | {"intervals": intervals} | counts, "test": test},
        "operating_point": {"threshold": 0.43216, "rule": "youden", "chosen_on": "validation"},
    }
    folder.metrics.write_text(json.dumps(content))
    show(folder)
    text = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("│┃ ").replace("┃", "│").split("│")] for line in text.splitlines()]
    assert " ".join(text.split()).startswith("95 % intervals by bootstrap over patients; PNEUMONIA is positive ")
    head = next(line for line in text.splitlines() if "n=40" in line)
    assert [cell.strip() for cell in head.split("┃")] == ["", "", "validation (n=40)", "test (n=7)", ""]
    assert all(f"{cell} │" in text for cell in ("0.560", "undefined"))  # figures stand at the right
    for row in (
        ["auroc", "0.500  [0.300, 0.600]", "undefined"],
        ["accuracy", "0.510  [0.310, 0.610]", "undefined"],
        ["sensitivity", "0.520  [0.320, 0.620]", "undefined"],
        ["specificity", "0.530  [0.330, 0.630]", "undefined"],
        ["average precision", "0.540  [0.340, 0.640]", "undefined"],
        ["brier", "0.550  [0.350, 0.650]", "undefined"],
        ["ece", "0.560", "–"],
    ):
        assert row in rows
    assert text.splitlines()[-1] == f"threshold 0.4322, by youden on validation; report: {folder.report}"
