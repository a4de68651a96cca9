"""Folds: run folders, out-of-fold answers, one committee, going on after a kill, suspects, corrections."""

import csv
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import DataConfig, EvaluationConfig, FitConfig, ModelConfig, RunConfig
from pipeline.data.fold_splits import splits_of_fold
from pipeline.data.group_holdout import splits_of
from pipeline.evaluation.predictions import DIGEST, read_csv, write_csv
from pipeline.networks.forward_pass import OutputsFn
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.model_file import load_model
from pipeline.stages import train_folds
from pipeline.stages.decide_again import decide_again
from pipeline.stages.evaluate_run import evaluate_run
from pipeline.stages.find_suspects import find_suspects
from pneumo_tfds.phantoms.phantom_source import write_phantoms
from pneumo_tfds.prepared import prepare
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import sha256_of, write_json

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def without_plots():
    """Plots and reports take longer than all else here, and are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("fit_and_judge", "train_folds", "evaluate_run"):
            name = f"pipeline.stages.{module}.illustrate"
            patch.setattr(name, lambda folder, *_, **__: folder.report.write_text("report"))
        yield


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    write_phantoms(place := tmp_path_factory.mktemp("st_mary") / "st_mary", 60, seed=5)
    return place


@pytest.fixture(scope="module")
def config(tmp_path_factory, elsewhere):
    dataset = prepare(None, 32, tmp_path_factory.mktemp("data"), phantoms=80)
    return RunConfig(
        data=DataConfig(dataset=dataset, image_size=32, folds=2),
        model=ModelConfig(model="compact"),
        fit=FitConfig(epochs=1, batch_size=8, precision="float32", xla="off", deterministic=True),
        evaluation=EvaluationConfig(resamples=100, threshold_under_shift=False, also_judge=(elsewhere,)),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory, config):
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    folder.path.mkdir()
    folder.write_config(config)
    train_folds.fit_and_judge_folds(folder, config)
    return folder


@pytest.fixture(scope="module")
def splits(config):
    return splits_of(config.data)


def test_every_image_is_answered_once_by_a_network_that_has_not_seen_its_patient(run, splits):
    pool, tables = splits["train"], read_csv(run.out_of_fold)
    assert list(tables) == ["fold-1", "fold-2"]
    names = [name for table in tables.values() for name in table.filenames.tolist()]
    assert sorted(names) == sorted(pool.examples.filenames.tolist())
    for number, table in enumerate(tables.values(), start=1):
        parts = splits_of_fold(pool, run.fold(number).read_config().data)
        assert set(table.filenames) == set(parts["held_out"].examples.filenames)
        patients = {name: set(split.examples.patients) for name, split in parts.items()}
        assert not patients["held_out"] & (patients["train"] | patients["validation"])
        assert not patients["train"] & patients["validation"]


def test_the_committee_alone_scores_test_and_the_folds_never_do(run, splits):
    tables = read_csv(run.predictions)
    assert tables["validation"].filenames.tolist() == splits["train"].examples.filenames.tolist()
    assert sorted(tables["test"].filenames) == sorted(splits["test"].examples.filenames)
    for number in (1, 2):
        assert set(read_csv(run.fold(number).predictions)) == {"validation", "held_out"}


def test_the_committee_alone_is_judged_elsewhere_and_the_report_and_the_card_show_it(run, elsewhere):
    (place,) = [metrics.parent for metrics in run.path.rglob("evaluation-*/metrics.json")]
    assert place.parent == run.path
    figures = json.loads((place / "metrics.json").read_text())
    external = figures["splits"]["external"]
    of_run = json.loads(run.metrics.read_text())
    assert figures["operating_point"] == of_run["operating_point"]
    (row,) = json.loads(run.robustness.read_text())["elsewhere"]
    assert (row["n"], row["auroc"]) == (external["n"], external["auroc"])
    assert "Judged elsewhere too" in run.report.read_text()
    assert f"another source, {external['n']} images" in run.model_card.read_text().replace("\u00a0", " ")
    assert [run.fold(number).read_config().evaluation.also_judge for number in (1, 2)] == [(), ()]
    assert run.read_config().evaluation.also_judge == (elsewhere,)


def test_the_committee_is_decided_by_the_answers_out_of_fold(run):
    """Its calibration is increasing, so each fold ranks its images as its own network does."""
    table = read_csv(run.predictions)["validation"]
    together = dict(zip(table.filenames, table.probabilities, strict=True))
    for own in read_csv(run.out_of_fold).values():
        seen = np.array([together[name] for name in own.filenames])
        assert (np.diff(seen[np.argsort(own.probabilities, kind="stable")]) >= -1e-6).all()
    metrics = json.loads(run.metrics.read_text())
    assert "each answered by the one network of 2 that had not seen them" in metrics["doubt"]["guarantee"]
    assert json.loads(run.folds.read_text())["pooled"]["n"] == len(table)


def test_the_model_answers_with_the_mean_of_the_calibrated_logits(run, splits):
    images, metrics = splits["test"].examples.images[:4], json.loads(run.metrics.read_text())

    def ask(folder):
        answers = OutputsFn(load_model(folder.model))(images)
        p = answers["probability"][:, 0].astype(np.float64)
        return answers | {"logit": np.log(p / (1 - p))}

    whole, folds = ask(run), [ask(run.fold(number)) for number in (1, 2)]
    logit = np.mean([fold["logit"] for fold in folds], axis=0)
    assert whole["logit"] == pytest.approx(logit / metrics["temperature"] + metrics["bias"], abs=1e-4)
    assert whole["heatmap"].mean(axis=(1, 2)) == pytest.approx(logit, abs=1e-3)
    assert whole["familiarity"] == pytest.approx(folds[0]["familiarity"], abs=1e-6)


def test_a_run_that_was_killed_in_its_second_fold_goes_on_there_to_the_same_end(run, config, tmp_path, capsys):
    again = RunFolder(tmp_path / "again")
    shutil.copytree(run.path, again.path)
    for path in again.path.iterdir():
        if path.is_file() and path not in (again.config, again.execution):
            path.unlink()
    shutil.rmtree(again.fold(2).path)
    capsys.readouterr()
    train_folds.fit_and_judge_folds(again, config)
    said = capsys.readouterr().out
    assert "fold 1/2" not in said
    assert "fold 2/2" in said
    assert said.count("also judged") == 1
    for path in (run.out_of_fold, run.predictions, run.folds, run.model):
        assert (again.path / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_run_whose_folds_had_other_images_is_not_gone_on_with(run, config, tmp_path):
    """As of a version that dealt validation in another way."""
    old = RunFolder(tmp_path / "old")
    shutil.copytree(run.path, old.path)
    fold = old.fold(2)
    tables = read_csv(fold.predictions)
    some = tables["validation"]
    write_csv(fold.predictions, {**tables, "validation": some.take(np.arange(1, len(some)))})
    write_json(fold.metrics, {**fold.read_json(fold.metrics), DIGEST: sha256_of(fold.predictions)})
    for path in (old.metrics, fold.report):  # one that is killed at various times
        path.unlink()
        with pytest.raises(InputError, match=f"of validation are no longer .* --config {old.config}"):
            train_folds.fit_and_judge_folds(old, config)


def test_the_committee_is_not_asked_again_about_images_that_it_was_trained_on(run, monkeypatch):
    before = read_csv(run.predictions)["validation"].probabilities.tolist()
    monkeypatch.setattr("pipeline.stages.evaluate_run.illustrate", lambda *_, **__: None)
    evaluate_run(run.path)
    assert read_csv(run.predictions)["validation"].probabilities.tolist() == before
    with pytest.raises(InputError, match="was decided out of fold"):
        decide_again(run.path, {"threshold_rule": "youden"}, lambda *_: {})


def test_suspects_are_written_for_a_person_whose_decisions_are_not_overwritten(run):
    find_suspects(run.path)
    rows = list(csv.DictReader(run.suspects.read_text().splitlines()))
    assert rows, "a network of one epoch suspects some"
    tables = read_csv(run.out_of_fold).values()
    table = {name: label for t in tables for name, label in zip(t.filenames, t.labels, strict=True)}
    for row in rows:
        assert row["label"] != row["suggested"]
        assert row["label"] == ("NORMAL", "PNEUMONIA")[table[row["filename"]]]
        assert float(row["probability_of_label"]) < 0.5
        assert len(row["sha256"]) == 64
    page = run.suspects_page.read_text()
    assert all(row["filename"] in page for row in rows)
    assert "5 images that look most alike" in page
    run.suspects.write_text(run.suspects.read_text().replace(",\n", ",keep\n", 2))
    with pytest.raises(InputError, match="has decisions; move it"):
        find_suspects(run.path)
    with pytest.raises(InputError, match="is no run with folds"):
        find_suspects(run.fold(1).path)


def test_too_many_folds_are_refused_before_anything_is_trained(config, tmp_path):
    many = dataclasses.replace(config, data=dataclasses.replace(config.data, folds=20))
    folder = RunFolder(tmp_path / "many")
    folder.path.mkdir()
    with pytest.raises(InputError, match="20 folds need 20 NORMAL patients"):
        train_folds.fit_and_judge_folds(folder, many)
    assert not any(folder.path.iterdir())


@pytest.mark.long
def test_from_folds_to_a_file_to_suspects_to_corrections_by_the_commands(tmp_path):
    def command(*arguments):
        line = [sys.executable, "-m", *map(str, arguments)]
        ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    write_phantoms(tmp_path / "xrays", 80, seed=1)
    source, run = ("--source", tmp_path / "xrays", "--data-dir", tmp_path / "data"), RunFolder(tmp_path / "run")
    small = ("--model", "compact", "--image-size", "32", "--epochs", "1", "--batch-size", "8", "--resamples", "100")
    said = command("pipeline.train", *source, "--run-dir", run.path, *small, "--folds", "2")
    assert "mean ± deviation" in said
    assert run.onnx.exists()
    assert "<h2>Folds</h2>" in run.report.read_text()
    command("pipeline.suspects", run.path)
    head, *rows = csv.reader(run.suspects.read_text().splitlines())
    for row, decision in zip(rows, (rows[0][head.index("suggested")], "remove"), strict=False):
        row[head.index("decision")] = decision
    with run.suspects.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    build = ("pneumo_tfds", "build", *source, "--config", "gray_32", "--corrections", run.suspects)
    assert "and removed 1 image" in command(*build)
