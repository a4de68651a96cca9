"""Deciding again after training: what follows from the decision changes, what the network is stays, and test is told.

The model is a stand-in that says an image's mean grey level; `export.carry_decision` is tested with the export.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from mean_grey import OutputsFn
from pipeline.config import DataConfig, EvaluationConfig, RunConfig
from pipeline.data.split import Examples, MemorySplit
from pipeline.evaluate import Evaluate
from pipeline.evaluation.doubt import Doubt
from pipeline.evaluation.evaluation_lock import verify, write_lock
from pipeline.evaluation.predictions import DIGEST, read_csv, write_csv
from pipeline.evaluation.robustness import UNCHANGED, pooled, through_changes
from pipeline.evaluation.scoring import Decision, decide, score_splits
from pipeline.report.report_page import write_report
from pipeline.report.terminal import show
from pipeline.run_folder.folder import RunFolder
from pipeline.stages import decide_again as module
from pipeline.stages.decide_again import decide_again
from pipeline.stages.judge import answers_of
from pipeline.stages.same_images import require_same_images
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import sha256_of, write_json

SIDE = 32
DOUBT = Doubt(0.3, 0.7, guarantee="none: none was asked for")


def examples(name, count):
    """Images of about one grey level each, brighter where there is pneumonia, but not always."""
    generator = np.random.default_rng([len(name), count])
    labels = np.arange(count) % 2
    levels = np.clip(generator.normal(90 + 70 * labels, 40), 5, 250).astype(np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (count, SIDE, SIDE, 1)).copy()
    names, patients = (
        np.array([f"{name}{i}.jpeg" for i in range(count)]),
        np.array([f"{name}-{i}" for i in range(count)]),
    )
    return Examples(images, labels, patients, np.where(labels, "virus", "normal"), names)


@pytest.fixture(params=[True, False], ids=["under shift", "as it is"])
def run(tmp_path, monkeypatch, request):
    """A finished run of 200 validation and 40 test images, with its lock."""
    folder = RunFolder(tmp_path / "run")
    splits = {name: MemorySplit(name, examples(name, count)) for name, count in (("validation", 200), ("test", 40))}
    settings = EvaluationConfig(resamples=100, threshold_under_shift=request.param, guarantee="none")
    folder.path.mkdir()
    folder.write_config(RunConfig(data=DataConfig(dataset=tmp_path / "data", image_size=SIDE), evaluation=settings))
    folder.model.write_bytes(b"weights")
    folder.onnx.write_bytes(b"old file")
    tables = {name: answers_of(split.examples, OutputsFn()(split.examples.images)) for name, split in splits.items()}
    first = decide(tables["validation"], "youden")
    first = Decision(1.0, first.operating_point, first.calibration, 0.0, DOUBT)
    write_csv(folder.predictions, tables)
    write_lock(folder, first)
    content = {"dataset": {"name": "a dataset"}, **score_splits(tables, first, 0, 100)}
    folder.metrics.write_text(json.dumps(content))
    monkeypatch.setattr(module, "splits_of", lambda data: {**splits})
    monkeypatch.setattr(module, "load_model", lambda path: "the model")
    monkeypatch.setattr(module, "OutputsFn", OutputsFn)
    monkeypatch.setattr(module, "examine", lambda *what: None)
    monkeypatch.setattr(module, "illustrate", lambda folder, *rest, **how: write_report(folder, **how))
    monkeypatch.setenv("COLUMNS", "200")
    return folder


def carry(run, metrics):
    """Stand in for the export: the file says its threshold."""
    return {run.onnx: repr(metrics["operating_point"]["threshold"]).encode()}


def read(path):
    return json.loads(path.read_text())


def test_a_prevalence_of_no_guarantee_is_refused_and_nothing_changes(run):
    """That of the run is none."""
    before = read(run.metrics)
    with pytest.raises(InputError, match="--prevalence has no effect with --guarantee none"):
        decide_again(run.path, {"prevalence": 0.1}, carry)
    assert read(run.metrics) == before
    decide_again(run.path, {"prevalence": 0.1, "guarantee": "auto"}, carry)


def test_nothing_is_decided_on_images_that_the_network_may_have_been_trained_on(run, monkeypatch):
    """As many as before, but others."""
    before, splits = read(run.metrics), module.splits_of(None)
    names = np.array([f"train{i}.jpeg" for i in range(200)])
    others = dataclasses.replace(splits["validation"].examples, filenames=names)
    splits["validation"] = MemorySplit("validation", others)
    monkeypatch.setattr(module, "splits_of", lambda data: splits)
    with pytest.raises(InputError, match="images of validation are no longer those"):
        decide_again(run.path, {"threshold_rule": "youden"}, carry)
    assert read(run.metrics) == before


def test_a_table_that_was_changed_tells_nothing_of_the_images_of_a_run(run):
    """Scoring the run again is the remedy then, and not to train it again."""
    write_json(run.metrics, {**read(run.metrics), DIGEST: sha256_of(run.predictions)})
    rows = run.predictions.read_text().splitlines(keepends=True)
    run.predictions.write_text("".join(rows[:-1]))
    require_same_images(run, {"test": module.splits_of(None)["test"]})


def test_the_decision_is_that_of_validation_and_in_every_file(run):
    before, predictions = read(run.metrics), run.predictions.read_bytes()
    decide_again(run.path, {"threshold_rule": "specificity>=0.95"}, carry)
    metrics, part = read(run.metrics), examples("validation", 200)
    settings = run.read_config().evaluation
    views = {UNCHANGED: answers_of(part, OutputsFn()(part.images))}
    views |= {name: answers_of(part, OutputsFn()(seen)) for name, seen in through_changes(part.images, settings)}
    if settings.threshold_under_shift:
        assert set(read(run.robustness)["views"]) == set(views)
    together, point = pooled(views), metrics["operating_point"]
    called = together.probabilities >= point["threshold"]
    assert (~called[together.labels == 0]).mean() == point["specificity"] >= 0.95
    assert point["threshold"] != before["operating_point"]["threshold"]
    assert point["rule"] == "specificity>=0.95"
    test = read_csv(run.predictions)["test"]
    found = metrics["splits"]["test"]
    assert found["sensitivity"] == (test.probabilities >= point["threshold"])[test.labels == 1].mean()
    assert found["auroc"] == before["splits"]["test"]["auroc"]
    assert {name: metrics[name] for name in ("temperature", "bias", "calibration", "dataset")} == {
        name: before[name] for name in ("temperature", "bias", "calibration", "dataset")
    }
    assert run.onnx.read_text() == repr(point["threshold"]) == repr(read(run.evaluation_lock)["locked"]["threshold"])
    assert run.predictions.read_bytes() == predictions
    assert str(point["threshold"]) in run.report.read_text()


def test_figures_on_other_sources_at_the_earlier_threshold_leave_the_report(run, capsys):
    row = {"source": 1, "n": 9, "patients": 9, "auroc": 0.9, "sensitivity": 0.123, "specificity": 0.9}
    intervals = dict.fromkeys(("auroc", "sensitivity", "specificity"))
    run.robustness.write_text(
        json.dumps({"elsewhere": [{**row, "intervals": intervals, "overlap": {"unknown": "made"}}]})
    )
    write_report(run)
    assert "0.123" in run.report.read_text()
    decide_again(run.path, {"threshold_rule": "specificity>=0.95"}, carry)
    assert "0.123" not in run.report.read_text()
    assert (
        f"score them at this one: python -m pipeline.evaluate {run.path} --also-judge PATH" in capsys.readouterr().out
    )


def test_evaluations_of_other_sources_that_show_the_earlier_decision_are_named(run, capsys):
    other = run.path / "evaluation-clinic"
    other.mkdir()
    (other / "metrics.json").write_text("{}")
    said = "note: evaluation-clinic shows figures of the earlier decision"
    decide_again(run.path, {"threshold_rule": "sensitivity>=0.9"}, carry)
    assert said in capsys.readouterr().out
    decide_again(run.path, {"threshold_rule": "sensitivity>=0.9"}, carry)  # nothing changes
    assert said not in capsys.readouterr().out


def test_what_is_not_asked_for_stays_and_the_same_wish_twice_changes_nothing(run):
    decide_again(run.path, {"threshold_rule": "sensitivity>=0.9"}, carry)
    first, lock = read(run.metrics), run.evaluation_lock.read_bytes()
    decide_again(run.path, {"guarantee": "none"}, carry)
    assert read(run.metrics) == first
    assert run.evaluation_lock.read_bytes() == lock


def test_a_guarantee_moves_the_limits_alone(run):
    decide_again(run.path, {"guarantee": "none"}, carry)
    before = read(run.metrics)
    decide_again(run.path, {"guarantee": "npv>=0.8,ppv>=0.66", "prevalence": 0.4}, carry)
    after = read(run.metrics)
    assert after["operating_point"] == before["operating_point"]
    assert after["doubt"]["certain_normal_below"] < after["doubt"]["certain_pneumonia_from"]
    assert after["doubt"]["guarantee"].startswith("NPV at least 0.8 and PPV at least 0.66 where 40 % have pneumonia")


def test_a_guarantee_that_was_asked_for_stays_when_another_rule_is(run):
    wish = {"guarantee": "npv>=0.7,ppv>=0.6", "prevalence": 0.4}
    decide_again(run.path, wish, carry)
    asked = read(run.metrics)["doubt"]["guarantee"]
    assert asked.startswith("NPV at least 0.7 and PPV at least 0.6 where 40 %")
    decide_again(run.path, {"threshold_rule": "specificity>=0.8"}, carry)
    assert read(run.metrics)["doubt"]["guarantee"] == asked
    assert read(run.metrics)["wish"] == wish | {"threshold_rule": "specificity>=0.8"}


def test_that_test_had_been_scored_before_is_said_on_page_and_terminal(run, capsys):
    assert verify(run).kept
    first = read(run.evaluation_lock)
    decide_again(run.path, {"threshold_rule": "sensitivity>=0.9"}, carry)
    show(run)
    said = "Threshold or limits were changed after the test figures were known"
    named = f"the first threshold was {first['locked']['threshold']}, by youden, locked at {first['locked_at']}"
    printed = capsys.readouterr().out
    for words in (said, named):
        assert words in run.report.read_text()
        assert words in printed
    lock = read(run.evaluation_lock)
    assert lock["scored_before"] == ["test"]
    assert lock["earlier"] == [{name: part for name, part in first.items() if name != "earlier"}]


def test_a_wish_that_cannot_be_had_changes_nothing(run):
    before = {path.name: path.read_bytes() for path in run.path.glob("[!.]*") if path.is_file()}
    with pytest.raises(InputError, match="cannot be shown on 200 validation patients"):
        decide_again(run.path, {"threshold_rule": "sensitivity>=0.9", "guarantee": "npv>=0.999,ppv>=0.999"}, carry)
    assert {path.name: path.read_bytes() for path in run.path.glob("[!.]*") if path.is_file()} == before


@pytest.mark.parametrize("step", ["write_bytes", "write_json"])
def test_a_decision_that_was_interrupted_is_marked_and_completed_by_the_same_call(run, monkeypatch, step):
    """Whatever is replaced first, the figures and the report of the folder are of one decision, and the lock tells."""
    old = read(run.metrics)
    os.utime(run.metrics, (1, 1))

    def full(*what):
        raise InputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(module, step, full)
        with pytest.raises(InputError, match="full"):
            decide_again(run.path, {"threshold_rule": "sensitivity>=0.9"}, carry)
    assert read(run.metrics) == old
    found = verify(run)
    assert not found.kept
    assert found.summary.startswith("unfinished. At 20")
    decide_again(run.path, {"threshold_rule": "sensitivity>=0.9"}, carry)
    assert verify(run).summary.startswith("decided again.")
    assert len(read(run.evaluation_lock)["earlier"]) == 1


def write_source(folder: Path, count: int, classes=("NORMAL", "PNEUMONIA")) -> Path:
    """Write grey pictures in class folders; those of PNEUMONIA are brighter, all are darker than in the run."""
    for label, part in enumerate(classes):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            texture = np.random.default_rng([label, number]).integers(0, 20, (40, 40))
            level = np.uint8(10 + 35 * (part == "PNEUMONIA") + number) + texture.astype(np.uint8)
            cv2.imwrite(str(folder / part / f"{number}.png"), level)
    return folder


def test_images_of_the_user_can_decide_and_it_is_said_everywhere(run, tmp_path, capsys):
    source = write_source(tmp_path / "clinic", 20)
    config = run.read_config()
    decide_again(run.path, {}, carry, source)
    point = read(run.metrics)["operating_point"]
    assert point["chosen_on"] == "other images"
    assert point["threshold"] < 0.3  # where their classes part; those of validation part above
    assert read(run.metrics)["decided_on"]["images"] == 40
    assert run.read_config() == config
    show(run)
    for text in (run.report.read_text(), capsys.readouterr().out):
        assert "chosen after training on 40 images of another source" in text
        assert "clinic" not in text.partition("40 images to score")[2]
    assert "under shift" not in run.report.read_text().partition("<main>")[0]
    Decision.from_json(read(run.metrics), run.metrics)
    decide_again(run.path, {"threshold_rule": "youden"}, carry)
    assert "decided_on" not in read(run.metrics)


def test_images_that_the_model_cannot_rank_decide_nothing(run, tmp_path):
    source = write_source(tmp_path / "clinic", 20)
    (source / "NORMAL").rename(source / "x")
    (source / "PNEUMONIA").rename(source / "NORMAL")
    (source / "x").rename(source / "PNEUMONIA")
    before = read(run.metrics)
    with pytest.raises(InputError, match=r"AUROC on these images is 0\.\d+ .*; no threshold repairs that"):
        decide_again(run.path, {}, carry, source)
    assert read(run.metrics) == before


def test_one_class_decides_nothing(run, tmp_path):
    source = write_source(tmp_path / "ill", 3, classes=("PNEUMONIA",))
    with pytest.raises(InputError, match="other images: there are images of one class only"):
        decide_again(run.path, {}, carry, source)
    assert len(read(run.evaluation_lock)["earlier"]) == 0


def test_flags_that_contradict_each_other_are_refused(tmp_path):
    for flags in ({"source": tmp_path}, {"split": "test"}):
        with pytest.raises(InputError, match="decide for the whole run"):
            Evaluate(run_folder=tmp_path, threshold_rule="youden", **flags)
    with pytest.raises(InputError, match="--threshold-rule: the threshold rule 'best'"):
        Evaluate(run_folder=tmp_path, threshold_rule="best")
    with pytest.raises(InputError, match="prevalence"):
        Evaluate(run_folder=tmp_path, prevalence=1.5)
