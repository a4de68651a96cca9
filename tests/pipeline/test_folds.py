"""Folds as a person starts them: run folders, out-of-fold answers, one committee, going on, suspects, corrections."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.fold_splits import splits_of_fold
from pipeline.data.group_holdout import splits_of
from pipeline.evaluation.predictions import read_csv
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.phantoms.phantom_source import write_phantoms

ROOT = Path(__file__).parents[2]
SMALL = (
    "--model", "compact", "--image-size", "32", "--epochs", "1", "--batch-size", "8", "--precision", "float32",
    "--resamples", "100", "--deterministic", "--xla", "off",
)  # fmt: skip


def command(*arguments, module="pipeline.train"):
    line = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def refused(ended, *words):
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    for word in words:
        assert word in ended.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("folds")


@pytest.fixture(scope="module")
def source(place):
    write_phantoms(place / "xrays", 80, seed=1)
    return "--source", place / "xrays", "--data-dir", place / "data"


@pytest.fixture(scope="module")
def finished(place, source):
    ended = command(*source, "--run-dir", place / "run", *SMALL, "--folds", "2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return RunFolder(place / "run"), ended.stdout


def pool_of(run):
    return splits_of(run.read_config().data)["train"]


@pytest.mark.slow
def test_every_image_of_train_and_validation_is_answered_once_by_a_network_that_has_not_seen_its_patient(finished):
    run, said = finished
    pool, tables = pool_of(run), read_csv(run.out_of_fold)
    assert list(tables) == ["fold-1", "fold-2"]
    names = [name for table in tables.values() for name in table.filenames.tolist()]
    assert sorted(names) == sorted(pool.examples.filenames.tolist())
    for number, table in enumerate(tables.values(), start=1):
        config = run.fold(number).read_config()
        splits = splits_of_fold(pool, config.data)
        assert set(table.filenames) == set(splits["held_out"].examples.filenames)
        patients = {name: set(split.examples.patients) for name, split in splits.items()}
        assert not patients["held_out"] & (patients["train"] | patients["validation"])
        assert set(read_csv(run.fold(number).predictions)) == {"validation", "held_out"}, "a fold scored test"
    assert f"2 folds of train and validation together: {pool.count} images" in said


@pytest.mark.slow
def test_the_committee_is_decided_by_out_of_fold_answers_and_alone_scores_test(finished):
    run, said = finished
    tables, folds = read_csv(run.predictions), json.loads(run.folds.read_text())
    metrics = json.loads(run.metrics.read_text())
    assert tables["validation"].filenames.tolist() == pool_of(run).examples.filenames.tolist()
    assert len(tables["test"]) == metrics["splits"]["test"]["n"] > 0
    assert metrics["doubt"]["guarantee"].endswith("(see folds.json)") or "had not seen them" in str(metrics["doubt"])
    # Calibration is strictly increasing, so each fold ranks its images as its own network does.
    for number in (1, 2):
        own = read_csv(run.out_of_fold)[f"fold-{number}"]
        together = dict(zip(tables["validation"].filenames, tables["validation"].probabilities, strict=True))
        seen = np.array([together[name] for name in own.filenames])
        order = np.argsort(own.probabilities, kind="stable")
        assert (np.diff(seen[order]) >= -1e-6).all()
    assert folds["pooled"]["n"] == len(tables["validation"])
    assert "mean ± deviation" in said
    report = run.report.read_text()
    assert "<h2>Folds</h2>" in report
    assert run.onnx.exists()


@pytest.mark.slow
def test_the_file_answers_with_the_mean_of_the_calibrated_logits(finished):
    import onnxruntime

    run, _ = finished
    images, metrics = splits_of(run.read_config().data)["test"].examples.images[:4], json.loads(run.metrics.read_text())

    def logits(path, feed):
        from pipeline.networks.forward_pass import OutputsFn
        from pipeline.run_folder.model_file import load_model

        p = OutputsFn(load_model(path)).probabilities(feed)
        return np.log(p / (1 - p))

    mean = np.mean([logits(run.fold(number).model, images) for number in (1, 2)], axis=0)
    expected = 1 / (1 + np.exp(-(mean / metrics["temperature"] + metrics["bias"])))
    (found,) = onnxruntime.InferenceSession(run.onnx).run(["probability"], {"image": images})
    assert found[:, 0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_a_run_that_was_killed_in_its_second_fold_goes_on_there_to_the_same_end(finished, place):
    run, _ = finished
    again = RunFolder(place / "again")
    shutil.copytree(run.path, again.path)
    for path in (again.metrics, again.onnx, again.report, again.model, again.folds, again.out_of_fold):
        path.unlink()
    second = again.fold(2)
    for path in (second.metrics, second.report, second.model, second.predictions, second.evaluation_lock):
        path.unlink()
    shutil.rmtree(second.checkpoint)
    again.evaluation_lock.unlink()
    ended = command("--run-dir", again.path, "--resume")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "fold 1/2" not in ended.stdout
    assert "fold 2/2" in ended.stdout
    for path in (run.out_of_fold, run.predictions, run.folds, run.onnx):
        assert (again.path / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.slow
def test_evaluating_again_does_not_ask_the_committee_about_images_that_it_was_trained_on(finished):
    run, _ = finished
    before = run.predictions.read_bytes()
    ended = command(run.path, module="pipeline.evaluate")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert read_csv(run.predictions)["validation"].probabilities.tolist() == pytest.approx(
        [float(row["probability"]) for row in csv.DictReader(before.decode().splitlines()) if row["split"] != "test"]
    )
    refused(command(run.path, "--threshold-rule", "youden", module="pipeline.evaluate"), "was decided out of fold")


@pytest.mark.slow
def test_suspects_are_shown_and_a_persons_decisions_change_the_next_dataset(finished, place, source):
    run, _ = finished
    ended = command(run.path, module="pipeline.suspects")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = list(csv.DictReader(run.suspects.read_text().splitlines()))
    assert rows, "a network of one epoch suspects some"
    page = run.suspects_page.read_text()
    assert rows[0]["filename"] in page
    assert "look most alike are" in page
    rows[0]["decision"], rows[1]["decision"] = rows[0]["suggested"], "remove"
    with run.suspects.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    refused(command(run.path, module="pipeline.suspects"), "suspects.csv has decisions; move it")
    build = ("build", *source[:2], "--data-dir", place / "corrected", "--config", "gray_32")
    ended = command(*build, "--corrections", run.suspects, module="pneumo_tfds")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"corrected 1 from {rows[0]['label']} to {rows[0]['suggested']}, and removed 1 image" in ended.stdout
    refused(command("build", "--corrections", run.suspects, module="pneumo_tfds"), "--corrections needs --source")


@pytest.mark.slow
def test_bad_input_is_refused_in_one_line(place, source, finished):
    run, _ = finished
    new = ("--run-dir", place / "new")
    refused(command(*source, *new, "--folds", "1"), "--folds is 1; it must be from 2 to 20")
    refused(command(*source, *new, "--folds", "3", "--fold", "4"), "--fold is 4; it must be from 1 to --folds")
    refused(
        command(*source, *new, "--folds", "3", "--hold-out", "im"), "--hold-out is im; it must be none with --folds"
    )
    refused(command(run.fold(1).path, module="pipeline.suspects"), "is no run with folds", "--folds 5")
    few = command(*source, *new, *SMALL, "--folds", "20")
    refused(few, "--folds 20 needs 20", "take fewer folds")
    assert not (place / "new" / "config.json").exists()
