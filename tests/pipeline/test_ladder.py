"""Ladders: each experiment changes what it names and nothing else, and what is trained is not trained again."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config import RunConfig, WeightsError
from pipeline.config.config_json import to_dict
from pipeline.ladder import FIGURES, STUDY_BEST, Ladder, run_ladder, settings
from pipeline.ladder_rows import RECIPE, STUDY
from pneumo_tfds.phantoms.phantom_source import write_phantoms
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json


def differences(name, rows=STUDY, ladder="study"):
    command = Ladder(ladder=ladder)
    row, start = to_dict(settings(name, command)), to_dict(settings(rows[name].start, command))
    return {field for group in row for field in row[group] if row[group][field] != start[group][field]}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("augmented", {"augment"}),
        ("dropout", {"dropout"}),
        ("256", {"image_size"}),
        ("split", {"validation_fraction"}),
        ("split-256", {"validation_fraction"}),
        ("l1", {"l1"}),
        ("l2", {"l2"}),
        ("transfer", {"model", "pretrained_weights"}),
        ("transfer-l1-l2", {"l1", "l2"}),
    ],
)
def test_row_changes_one_thing_of_the_row_it_starts_from(name, changed):
    assert differences(name) == changed


@pytest.mark.parametrize("name", [name for name, row in RECIPE.items() if row.start])
def test_row_of_the_recipe_changes_what_it_names_of_the_default_recipe(name):
    named = {field for fields in RECIPE[name].changes.values() for field in fields}
    assert differences(name, RECIPE, "recipe") == named


def test_first_row_of_the_recipe_is_what_a_run_does_by_itself():
    assert to_dict(settings("recipe", Ladder(ladder="recipe", epochs=RunConfig().fit.epochs))) == to_dict(RunConfig())


def test_study_figures_follow_from_its_confusion_matrix_with_the_classes_put_right():
    normal_right, normal_wrong, missed, found = 190, 44, 9, 381
    assert STUDY_BEST["accuracy"] == pytest.approx((normal_right + found) / 624, abs=5e-4)
    assert STUDY_BEST["sensitivity"] == pytest.approx(found / (found + missed), abs=5e-4)
    assert STUDY_BEST["specificity"] == pytest.approx(normal_right / (normal_right + normal_wrong), abs=5e-4)


def test_every_row_reads_the_source_as_the_flags_say():
    command = Ladder(source=Path("clinic"), positive=("ILL",), yes=True)
    assert {(config.data.positive, config.data.yes) for config in (settings(row, command) for row in STUDY)} == {
        (("ILL",), True)
    }


def test_unknown_row_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="rows are base"):
        Ladder(rows=("vgg",))


def test_counts_below_one_are_refused():
    for name in ("seeds", "epochs"):
        with pytest.raises(InputError, match=f"--{name} is 0; it must be 1 or more"):
            Ladder(**{name: 0})


@pytest.fixture
def table_of(tmp_path, monkeypatch):
    """Run experiments without training, figures following from the seed; return the table's lines by row and split."""

    def fit_and_judge(folder, config):
        if config.model.start != "none":
            raise WeightsError("the weights are not there")
        figures = dict.fromkeys(FIGURES, 0.1 + 0.2 * config.fit.seed)
        write_json(folder.metrics, {"splits": {"validation": figures}})

    def run(**how):
        run_ladder(Ladder(out=tmp_path / "ladder", **how))
        with (tmp_path / "ladder" / "ladder.csv").open(newline="") as file:
            return {(line["row"], line["split"]): line for line in csv.DictReader(file)}

    monkeypatch.setattr("pipeline.stages.fit_and_judge.fit_and_judge", fit_and_judge)
    monkeypatch.setattr("pipeline.data.dataset.with_dataset", lambda config: config)
    return run


def test_a_row_is_the_mean_and_spread_of_its_seeds(table_of, capsys):
    lines = table_of(rows=("base", "l1"), seeds=3)
    for row in ("base", "l1"):
        assert {lines[row, "validation"][figure] for figure in FIGURES} == {"0.300 ± 0.200"}
        said, *rest = (lines[row, "test"][figure] for figure in FIGURES)
        assert said == "no test split was scored"
        assert set(rest) == {""}
    assert lines["l1", "test"]["what it is"] == "split + L1 1e-5"
    assert lines["study's best", "official test"]["accuracy"] == "0.915"
    assert "Mean over seeds" in capsys.readouterr().out
    assert table_of(rows=("base",), seeds=1)["base", "validation"]["auroc"] == "0.100"


def test_a_row_whose_weights_are_missing_says_so_and_the_others_are_trained(table_of):
    lines = table_of(rows=("transfer", "base"), seeds=2)
    assert lines["transfer", "validation"]["accuracy"] == "not run: the weights are not there"
    assert lines["base", "validation"]["accuracy"] == "0.200 ± 0.141"


@pytest.mark.parametrize("row", ["base", "transfer"])
def test_a_row_that_fails_for_another_reason_stops_the_ladder(row, table_of, monkeypatch):
    def fail(folder, config):
        raise InputError("the disk is full")

    monkeypatch.setattr("pipeline.stages.fit_and_judge.fit_and_judge", fail)
    with pytest.raises(InputError, match="the disk is full"):
        table_of(rows=(row,))


def test_runs_of_other_settings_are_not_mixed_in(table_of):
    table_of(rows=("base",), seeds=1)
    with pytest.raises(InputError, match="seed0 holds a run of other settings; remove it, or name another --out"):
        table_of(rows=("base",), seeds=1, epochs=3)


def test_own_weights_replace_the_downloaded_ones_in_the_rows_that_transfer():
    command = Ladder(pretrained_weights="weights.h5")
    for row in ("transfer", "transfer-l1-l2"):
        assert settings(row, command).model.pretrained_weights == "weights.h5"
        assert settings(row, Ladder()).model.pretrained_weights == "imagenet"
    assert settings("base", command).model.pretrained_weights == "auto"


@pytest.mark.slow
def test_recipe_has_figures_under_shift_and_none_of_test(tmp_path):
    write_phantoms(tmp_path / "source", 60, seed=2)
    place = ["--source", tmp_path / "source", "--data-dir", tmp_path / "data", "--out", tmp_path / "out"]
    line = [sys.executable, "-m", "pipeline.ladder", *map(str, place), "--ladder", "recipe", "--quick"]
    ended = subprocess.run(
        [*line, "--rows", "compact"], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    head, row = (line.split(",") for line in (tmp_path / "out" / "ladder.csv").read_text().splitlines()[:2])
    assert 0 <= float(row[head.index("shifted AUROC")]) <= 1
    assert "test" not in row


@pytest.mark.slow
def test_ladder_writes_its_table_and_does_not_train_twice(tmp_path):
    write_phantoms(tmp_path / "source", 60, seed=2)
    place = ["--source", tmp_path / "source", "--data-dir", tmp_path / "data", "--out", tmp_path / "out"]
    line = [sys.executable, "-m", "pipeline.ladder", *map(str, place), "--quick", "--rows", "l1"]
    root = Path(__file__).parents[2]
    ended = subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    table = (tmp_path / "out" / "ladder.csv").read_text()
    assert "study's best" in table
    assert table.count("validation,0.") == 1
    trained = (tmp_path / "out" / "l1" / "seed0" / "model.keras").read_bytes()
    again = subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "epoch 1/1" in ended.stdout
    assert "epoch 1/1" not in again.stdout
    assert (tmp_path / "out" / "l1" / "seed0" / "model.keras").read_bytes() == trained
