"""The command that compares runs."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from pipeline.compare import Compare, compare, load, main
from pipeline.evaluation.predictions import DIGEST, Predictions, read_csv, write_csv
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import sha256_of


def table(noise, seed=0, n=120):
    labels = (np.arange(n) % 3 > 0).astype(int)
    generator = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-(1.5 * (2 * labels - 1) + noise * generator.normal(size=n))))
    names = np.array([f"{i:03d}.jpeg" for i in range(n)])
    kinds = np.where(labels == 1, "virus", "normal")
    return Predictions(names, np.array([f"p{i // 2}" for i in range(n)]), kinds, labels, scores)


def write_run(folder, test, threshold=0.5):
    run = RunFolder(folder)
    write_csv(run.predictions, {"validation": table(1.0, 9), "test": test})
    point = {
        "threshold": threshold,
        "rule": "youden",
        "chosen_on": "validation",
        "sensitivity": 0.9,
        "specificity": 0.9,
    }
    run.metrics.write_text(json.dumps({"operating_point": point, "temperature": 1.0, "calibration": {}}))
    return run


@pytest.fixture
def runs(tmp_path):
    return [write_run(tmp_path / name, table(noise, seed)) for name, noise, seed in (("a", 1.0, 1), ("b", 4.0, 2))]


def test_a_better_run_is_distinguished_from_a_worse_one_whatever_the_order_of_rows(runs, capsys, tmp_path):
    worse = read_csv(runs[1].predictions)
    shuffled = np.random.default_rng(0).permutation(120)
    write_csv(runs[1].predictions, {**worse, "test": worse["test"].take(shuffled)})
    main(Compare(runs=tuple(run.path for run in runs), json=tmp_path / "out.json"))
    content = json.loads((tmp_path / "out.json").read_text())
    (pair,) = content["pairs"]
    assert (content["images"], content["patients"], content["split"]) == (120, 60, "test")
    assert pair["auroc"]["difference"] > 0.1
    assert pair["auroc"]["interval"][0] > 0
    assert pair["delong"]["p_value"] < 0.001
    assert pair["mcnemar"]["only_first_right"] > pair["mcnemar"]["only_second_right"]
    printed = capsys.readouterr().out
    assert f"{pair['auroc']['values'][0]:.4f}" in printed
    assert "DeLong" in printed
    assert "\u2026" not in printed  # nothing cut off at 80 columns


def test_each_run_has_its_own_threshold(tmp_path):
    same = table(2.0)
    runs = [load(write_run(tmp_path / str(cut), same, cut), "test") for cut in (0.5, 0.999)]
    (pair,) = compare(runs, 100, 0)
    assert pair["auroc"]["difference"] == 0.0
    assert pair["accuracy"]["values"][0] == pytest.approx(((same.probabilities >= 0.5) == same.labels).mean())
    assert pair["accuracy"]["values"][1] == pytest.approx(((same.probabilities >= 0.999) == same.labels).mean())


def test_several_runs_are_corrected_over_all_pairs(runs, tmp_path):
    third = write_run(tmp_path / "c", table(2.0, 3))
    pairs = compare([load(run, "test") for run in (*runs, third)], 100, 0)
    assert [[name[-1] for name in pair["runs"]] for pair in pairs] == [["a", "b"], ["a", "c"], ["b", "c"]]
    least = min(pairs, key=lambda pair: pair["delong"]["p_value"])
    assert least["delong"]["p_holm"] == pytest.approx(3 * least["delong"]["p_value"])
    assert all(pair["mcnemar"]["p_holm"] >= pair["mcnemar"]["p_value"] for pair in pairs)


def test_json_on_standard_output_is_json_alone(runs, capsys):
    from pathlib import Path

    main(Compare(runs=tuple(run.path for run in runs), json=Path("-"), split="validation"))
    assert json.loads(capsys.readouterr().out)["split"] == "validation"


def test_evaluations_on_another_source_are_compared_on_the_one_split_that_they_have(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    folders = []
    for name, noise in (("a", 1.0), ("b", 4.0)):
        run = write_run(tmp_path / name / "evaluation-clinic", table(noise))
        write_csv(run.predictions, {"external": read_csv(run.predictions)["test"]})
        folders.append(run.path)
    main(Compare(runs=tuple(folders)))
    printed = capsys.readouterr().out
    assert "120 external images" in printed
    assert "a/evaluation-clinic (first) and b/evaluation-clinic (second)" in printed


def test_evaluations_on_other_files_of_the_same_names_are_refused(tmp_path):
    scored = []
    for name in ("a", "b"):
        run = write_run(tmp_path / name / "evaluation-clinic", table(1.0))
        write_csv(run.predictions, {"external": read_csv(run.predictions)["test"]})
        metrics = json.loads(run.metrics.read_text())
        run.metrics.write_text(json.dumps(metrics | {"dataset": {"manifest_sha256": name * 64}}))
        scored.append(load(run))
    with pytest.raises(InputError, match="different images of the same names"):
        compare(scored, 100, 0)


def test_runs_that_cannot_be_compared_are_one_clear_error(runs, tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        load(RunFolder(tmp_path / "none"), "test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"predictions\.csv.*evaluate the run first"):
        load(RunFolder(tmp_path / "empty"), "test")
    with pytest.raises(InputError, match="not for train"):
        load(runs[0], "train")
    fewer = load(write_run(tmp_path / "fewer", table(1.0, n=90)), "test")
    with pytest.raises(InputError, match=r"different images \(120 and 90, 90 in both\)"):
        compare([load(runs[0], "test"), fewer], 100, 0)
    first = load(runs[0], "test")
    other = table(1.0)
    flipped = Predictions(other.filenames, other.patients, other.subtypes, 1 - other.labels, other.probabilities)
    with pytest.raises(InputError, match="different labels"):
        compare([first, load(write_run(tmp_path / "flipped", flipped), "test")], 100, 0)
    others = Predictions(other.filenames, other.filenames, other.subtypes, other.labels, other.probabilities)
    with pytest.raises(InputError, match="different images of the same names"):
        compare([first, load(write_run(tmp_path / "others", others), "test")], 100, 0)
    one_class = other.take(other.labels == 1)
    single = [load(write_run(tmp_path / name, one_class), "test") for name in ("s", "t")]
    with pytest.raises(InputError, match="two images or more of each class"):
        compare(single, 100, 0)
    runs[0].metrics.write_text("{}")
    with pytest.raises(InputError, match=r"metrics\.json lacks a full operating point"):
        load(runs[0], "test")


def test_digits_that_changed_in_a_table_are_noticed(runs):
    metrics, table = runs[0].read_json(runs[0].metrics), runs[0].predictions.read_text()
    runs[0].metrics.write_text(json.dumps(metrics | {DIGEST: sha256_of(runs[0].predictions)}))
    load(runs[0])
    digit = table.index("0.", 200) + 3
    runs[0].predictions.write_text(f"{table[:digit]}{(int(table[digit]) + 1) % 10}{table[digit + 1 :]}")
    with pytest.raises(InputError, match=r"has changed since .* was made from it; evaluate"):
        load(runs[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "two run folders or more"),
        (["a", "a"], "given twice"),
        (["a", "b", "--resamples", "5"], "--resamples is 5"),
    ],
)
def test_impossible_arguments_are_one_line_and_exit_code_2(arguments, message):
    command = [sys.executable, "-m", "pipeline.compare", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_compared_is_not_replaced_by_the_comparison(runs):
    with pytest.raises(InputError, match=r"metrics\.json is an input"):
        main(Compare(runs=tuple(run.path for run in runs), json=runs[0].metrics))
