"""The main job, as a person starts it: from phantoms to an ONNX file, and what it refuses."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.shifts import WRONG
from pneumo_tfds.phantoms.phantom_source import write_phantoms
from pneumo_tfds.prepared import prepare

ROOT = Path(__file__).parents[2]
SMALL = (
    "--model", "compact", "--image-size", "48", "--epochs", "1", "--batch-size", "16", "--precision", "float32",
    "--resamples", "100",
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
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def source(place):
    write_phantoms(place / "chest_xray", 60, seed=1)
    return place / "chest_xray"


@pytest.fixture(scope="module")
def phantoms(place):
    return prepare(None, 48, place / "data", phantoms=80)


@pytest.fixture(scope="module")
def finished(place, phantoms):
    """One whole run, search included; several tests look at it."""
    run = place / "run"
    budget = ("--tune", "--tuner", "random", "--max-trials", "2", "--trial-epochs", "1")
    ended = command("--dataset", phantoms, "--run-dir", run, *SMALL, *budget)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return run, ended.stdout


@pytest.mark.slow
def test_one_command_leaves_a_whole_run(finished):
    run, _ = finished
    files = (
        "config.json execution.json history.csv model.keras lock.json metrics.json robustness.json predictions.csv "
        "report.html model.onnx parity.json golden.npz"
    )
    assert [name for name in files.split() if not (run / name).exists()] == []
    assert list(run.rglob("*partial*")) == []
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["splits"]) == {"validation", "test"}
    assert metrics["operating_point"]["chosen_on"] == "validation"
    assert set(metrics["refused"]) == set(WRONG)
    assert json.loads((run / "parity.json").read_text())["files"]["model.onnx"]["max_abs_probability"] <= 1e-5


@pytest.mark.slow
def test_phantoms_are_named_first_and_last(finished):
    lines = finished[1].strip().splitlines()
    assert "not medical" in lines[0]
    assert "--source" in lines[0]
    assert lines[-1] == lines[0]


@pytest.mark.slow
def test_winner_of_the_search_is_what_was_trained(finished):
    run, _ = finished
    trained, winner = (json.loads((run / name).read_text()) for name in ("config.json", "tuner/best.json"))
    assert trained == winner
    begun = json.loads((run / "tuner" / "start.json").read_text())
    with (run / "tuner" / "leaderboard.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert trained["fit"]["epochs"] == begun["fit"]["epochs"] == 1


@pytest.mark.slow
def test_exported_file_says_what_keras_said(finished, phantoms):
    import onnxruntime

    from pipeline.data.split import open_splits
    from pipeline.evaluation.predictions import read_csv

    run, _ = finished
    session = onnxruntime.InferenceSession(run / "model.onnx", providers=["CPUExecutionProvider"])
    written = read_csv(run / "predictions.csv")
    for name, table in written.items():
        images = open_splits(phantoms)[name].examples.images
        said = session.run(["probability"], {"image": images})[0][:, 0]
        np.testing.assert_allclose(said, table.probabilities, atol=1e-5)


@pytest.mark.slow
def test_resuming_a_finished_run_changes_no_result(finished):
    run, _ = finished
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.*")}
    ended = command("--run-dir", run, "--resume")
    assert ended.returncode == 0, ended.stderr
    assert "is finished already" in ended.stdout
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.*")} == before


@pytest.mark.slow
def test_stage_that_is_missing_is_done_on_resume(finished, place):
    copy = place / "unexported"
    shutil.copytree(finished[0], copy)
    for name in ("model.onnx", "parity.json", "golden.npz", "report.html", "plots/examples.png"):
        (copy / name).unlink()
    ended = command("--run-dir", copy, "--resume")
    assert ended.returncode == 0, ended.stderr
    names = ("config.json", "history.csv", "model.keras", "metrics.json", "predictions.csv", "model.onnx")
    assert [name for name in names if (copy / name).read_bytes() != (finished[0] / name).read_bytes()] == []
    assert (copy / "report.html").exists()
    assert (copy / "plots" / "examples.png").exists()
    assert "is finished already" in command("--run-dir", copy, "--resume").stdout


@pytest.mark.slow
def test_evaluating_again_gives_the_same_figures_and_keeps_the_choice(finished, place):
    copy = place / "again"
    shutil.copytree(finished[0], copy)
    before = json.loads((copy / "metrics.json").read_text())
    ended = command(copy, module="pipeline.evaluate")
    assert ended.returncode == 0, ended.stderr
    after = json.loads((copy / "metrics.json").read_text())
    assert after["operating_point"] == before["operating_point"]
    for name, figures in before["splits"].items():
        assert after["splits"][name]["auroc"] == pytest.approx(figures["auroc"], abs=1e-4)


@pytest.mark.slow
def test_other_images_are_scored_by_the_choice_the_run_has(finished, source):
    run, _ = finished
    ended = command(run, "--source", source, module="pipeline.evaluate")
    assert ended.returncode == 0, ended.stderr
    folder = run / "evaluation-chest_xray"
    metrics = json.loads((folder / "metrics.json").read_text())
    original = json.loads((run / "metrics.json").read_text())
    assert metrics["operating_point"] == original["operating_point"]
    assert set(metrics["splits"]) == {"external"}
    assert metrics["external"]["scored"] == "test", "phantoms in Kaggle's layout have an official test folder"
    assert metrics["external"]["own"]["split"] == "test"
    assert metrics["external"]["overlap"]["unknown"] == ""
    assert (folder / "report.html").exists()
    assert json.loads((run / "metrics.json").read_text()) == original


@pytest.mark.slow
@pytest.mark.slow
def test_several_networks_mirror_images_and_a_hold_out_end_in_one_file(place):
    import onnxruntime

    run, phantoms = place / "committee", prepare(None, 48, place / "more", phantoms=240)
    flags = ("--ensemble-size", "2", "--test-time-flip", "--hold-out", "bright")
    ended = command("--dataset", phantoms, "--run-dir", run, *SMALL, *flags)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["splits"]) == ["validation", "held_out"]
    assert metrics["operating_point"]["chosen_on"] == "validation"
    first, second = ((run / name).read_text() for name in ("history.csv", "history-2.csv"))
    assert first.count("\n") == second.count("\n") == 2
    assert first != second
    assert "held_out" in (run / "report.html").read_text()
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1), dtype=np.uint8)
    session = onnxruntime.InferenceSession(run / "model.onnx")
    seen, mirrored = (session.run(["probability"], {"image": part})[0] for part in (images, images[:, :, ::-1]))
    np.testing.assert_allclose(seen, mirrored, atol=1e-6)


def test_weights_that_are_no_file_are_refused_before_anything_is_built(tmp_path):
    flags = (
        "--model",
        "efficientnet_lite0",
        "--pretrained-weights",
        tmp_path / "none.pth",
        "--data-dir",
        tmp_path / "data",
    )
    refused(command(*flags, "--run-dir", tmp_path / "run"), "none.pth is not a file")
    assert not (tmp_path / "data").exists()


def test_resume_refuses_settings_that_contradict_the_run(finished):
    refused(command("--run-dir", finished[0], "--resume", "--epochs", "7"), "--epochs is 7 and was 1")
    settings = finished[0] / "config.json"
    refused(command("--run-dir", finished[0], "--resume", "--config", settings), "leave --config out")


def test_settings_file_gives_the_defaults_and_flags_beside_it_win(tmp_path):
    from pipeline.train import defaults_from

    path = tmp_path / "config.json"
    path.write_text('{"fit": {"epochs": 3}, "data": {"dataset": "of/another/machine", "image_size": 96}}')
    settings = defaults_from(path, with_source=True)
    assert (settings.fit.epochs, settings.data.image_size, settings.data.dataset) == (3, 96, None)
    assert defaults_from(path, with_source=False).data.dataset == Path("of/another/machine")
    refused(command("--config", path, "--image-size", "5", "--run-dir", tmp_path / "run"), "--image-size is 5")


def test_run_that_exists_is_refused_and_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    refused(command("--run-dir", tmp_path), "already holds a run", "--resume")
    assert (tmp_path / "config.json").read_text() == "{}"


def test_resume_without_a_run_is_refused(tmp_path):
    refused(command("--run-dir", tmp_path / "none", "--resume"), "holds no run")
    refused(command("--resume"), "--run-dir")


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda path: None, "source"),
        (lambda path: path.mkdir(), "source"),
        (lambda path: path.write_bytes(b"not a zip"), "source"),
    ],
    ids=["missing", "empty", "no archive"],
)
def test_source_that_is_none_is_refused_by_name(tmp_path, make, word):
    path = tmp_path / "source"
    make(path)
    refused(command("--source", path, "--run-dir", tmp_path / "run", "--data-dir", tmp_path / "data"), word)


@pytest.mark.parametrize(
    "flags",
    [
        ("--image-size", "5"),
        ("--epochs", "0"),
        ("--epochs", "many"),
        ("--threshold-rule", "always"),
        ("--model", "vgg"),
        ("--no-such-flag",),
        ("--config", "nowhere.json"),
    ],
    ids=" ".join,
)
def test_impossible_flags_are_refused_in_one_line(flags, tmp_path):
    refused(command(*flags, "--run-dir", tmp_path / "run"), flags[-1] if flags[0] == "--config" else flags[0])
    assert not (tmp_path / "run").exists()


def test_evaluating_what_is_no_run_is_refused(tmp_path):
    refused(command(tmp_path, module="pipeline.evaluate"), "not a run folder")
