"""Scoring other sources: whatever is labelled, each in a folder of its own, with what the run was trained on counted.

The model is a stand-in that says an image's mean grey level; sources and datasets are real and small.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from image_files import jpeg, picture
from mean_grey import OutputsFn
from pipeline.config import DataConfig, EvaluationConfig, RunConfig
from pipeline.data.dataset import with_dataset
from pipeline.data.split import open_splits
from pipeline.evaluate import Evaluate, evaluate
from pipeline.evaluation.predictions import read_csv
from pipeline.evaluation.scoring import decide
from pipeline.run_folder.folder import RunFolder
from pipeline.stages import evaluate_run
from pipeline.stages.also_judge import also_judge
from pipeline.stages.judge import predictions_of, write_scores
from pneumo_tfds.prepared import prepare
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import sha256_of


def write(folder: Path, names: list[str], seed: int) -> Path:
    """Write a picture of its own for each name."""
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(picture(1000 * seed + index)))
    return folder


def both(prefix: str, count: int, folder: str = "") -> list[str]:
    return [f"{folder}{label}/{prefix}{i}.jpeg" for label in ("NORMAL", "PNEUMONIA") for i in range(count)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, without what training leaves beside, and the source that it was trained on."""
    place = tmp_path_factory.mktemp("trained")
    source = write(place / "xrays", [*both("a", 12, "train/"), *both("t", 4, "test/")], seed=1)
    dataset = prepare(source, 32, place / "data")
    config = RunConfig(
        data=DataConfig(source=source, dataset=dataset, data_dir=place / "data", image_size=32),
        evaluation=EvaluationConfig(resamples=100),
    )
    run = RunFolder(place / "run")
    run.path.mkdir()
    run.write_config(config)
    say = OutputsFn().probabilities
    tables = {
        name: predictions_of(split.examples, say(split.examples.images))
        for name, split in open_splits(dataset).items()
        if name != "train"
    }
    write_scores(run, config, tables, decide(tables["validation"], "youden"))
    return source, run


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of the run for one test."""
    monkeypatch.setattr(evaluate_run, "load_model", lambda path: "the model")
    monkeypatch.setattr(evaluate_run, "OutputsFn", OutputsFn)
    monkeypatch.setenv("COLUMNS", "200")
    return RunFolder(shutil.copytree(trained[1].path, tmp_path / "run"))


def score(run: RunFolder, source: Path, **options) -> RunFolder:
    """Evaluate the run on a source; return the one folder that was written or replaced."""
    times = {path: path.stat().st_mtime_ns for path in run.path.glob("evaluation-*/metrics.json")}
    evaluate(Evaluate(run_folder=run.path, source=source, **options))
    (written,) = [p for p in run.path.glob("evaluation-*/metrics.json") if times.get(p) != p.stat().st_mtime_ns]
    return RunFolder(written.parent)


def figures_of(folder: RunFolder):
    return json.loads(folder.metrics.read_text())


def text_of(folder: RunFolder) -> str:
    html = folder.report.read_text(encoding="utf-8")
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL).replace("\u00a0", " ").split())


def test_other_places_are_judged_beside_the_own_dataset_and_choose_nothing(run, trained, tmp_path, capsys):
    st_mary = write(tmp_path / "st_mary", both("new", 3), seed=7)
    shutil.copy(trained[0] / "train/NORMAL/a0.jpeg", st_mary / "NORMAL/own.jpeg")
    before = figures_of(run)
    evaluate(Evaluate(run_folder=run.path, also_judge=(st_mary,)))
    said = capsys.readouterr().out
    assert said.index("This model was made from 1 of the 7 images") < said.index(
        f"also judged {st_mary} (7 images): auroc"
    )
    after = figures_of(run)
    assert [after[name] for name in ("operating_point", "temperature")] == [
        before[name] for name in ("operating_point", "temperature")
    ]
    (row,) = json.loads(run.robustness.read_text())["elsewhere"]
    of_st_mary = figures_of(RunFolder(run.path / "evaluation-st_mary"))["splits"]["external"]
    assert (row["source"], row["n"], row["auroc"]) == (1, 7, of_st_mary["auroc"])
    assert row["intervals"]["specificity"] == of_st_mary["intervals"]["specificity"]
    assert sum(row["overlap"]["images"].values()) == 1
    assert "Judged elsewhere too" in text_of(run)
    assert "st_mary" not in run.report.read_text() + run.robustness.read_text()  # the page names no folder


def test_another_place_of_one_class_is_refused_before_anything_is_scored(run, tmp_path):
    healthy = write(tmp_path / "healthy", [f"NORMAL/{number}.jpeg" for number in range(3)], seed=8)
    before = run.predictions.read_bytes()
    with pytest.raises(InputError, match=r"--also-judge: .*no PNEUMONIA"):
        evaluate(Evaluate(run_folder=run.path, also_judge=(healthy,)))
    assert run.predictions.read_bytes() == before
    with pytest.raises(InputError, match=r"--also-judge: .*no PNEUMONIA"):
        with_dataset(RunConfig(evaluation=EvaluationConfig(also_judge=(healthy,))))


def test_another_place_that_is_gone_at_the_end_costs_the_run_nothing(run, tmp_path, capsys):
    clinic = write(tmp_path / "clinic", both("new", 2), seed=9)
    also_judge(run, (tmp_path / "gone", clinic))
    assert f"--also-judge {tmp_path / 'gone'}: not scored" in capsys.readouterr().out
    rows = json.loads(run.robustness.read_text())["elsewhere"]
    assert rows[0] == {"source": 1, "not_scored": True}
    assert (rows[1]["source"], rows[1]["n"]) == (2, 4)
    assert "not scored: it could not be read any more" in text_of(run)


def test_sources_that_leave_the_report_are_counted(run, tmp_path, capsys):
    first, second = (write(tmp_path / name, both("x", 2), seed) for name, seed in (("a", 12), ("b", 13)))
    also_judge(run, (first, tmp_path / "gone"))
    also_judge(run, (first,))  # again, with the same figures
    also_judge(run, (second, first))
    assert "in place of" not in capsys.readouterr().out
    also_judge(run, (first,))
    assert "note: the report has these in place of 1 source judged before; " in capsys.readouterr().out


def test_sources_of_one_last_name_do_not_overwrite_each_other(run, tmp_path):
    first, second = (write(tmp_path / name / "test", both("x", 2), seed) for name, seed in (("a", 2), ("b", 3)))
    folders = [score(run, first), score(run, second)]
    assert folders[0].path.name == "evaluation-test"
    assert re.fullmatch(r"evaluation-test-[0-9a-f]{8}", folders[1].path.name)
    before = folders[1].predictions.read_bytes()
    assert score(run, first).path == folders[0].path  # its own figures are replaced
    assert folders[1].predictions.read_bytes() == before
    assert score(run, second).path == folders[1].path
    assert [folder.read_config().data.source for folder in folders] == [first, second]


def test_one_source_read_in_two_ways_has_two_folders(run, tmp_path):
    names = [f"{label}/{n}.png" for label in ("NORMAL", "viral", "bacterial") for n in range(3)]
    source = write(tmp_path / "kinds", names, 5)
    folders = [score(run, source, positive=(name,)) for name in ("viral", "bacterial")]
    assert len({folder.path for folder in folders}) == 2
    assert [folder.read_config().data.positive for folder in folders] == [("viral",), ("bacterial",)]
    assert score(run, source, positive=("viral",)).path == folders[0].path


def test_a_source_with_corrections_has_a_folder_of_its_own(run, tmp_path):
    source, table = write(tmp_path / "clinic", both("x", 3), seed=17), tmp_path / "suspects.csv"
    digest = sha256_of(source / "NORMAL/x0.jpeg")
    table.write_text(f"filename,sha256,label,decision\nNORMAL/x0.jpeg,{digest},NORMAL,remove\n")
    folders = [score(run, source), score(run, source, corrections=(table,))]
    assert [figures_of(folder)["splits"]["external"]["n"] for folder in folders] == [6, 5]


def test_a_name_with_a_dot_is_whole(run, tmp_path):
    names = [score(run, write(tmp_path / f"cohort.{year}", both("x", 2), year)).path.name for year in (2022, 2023)]
    assert names == ["evaluation-cohort.2022", "evaluation-cohort.2023"]


def test_images_that_the_run_was_trained_on_are_counted_and_said_first(run, trained, tmp_path, capsys):
    source = write(tmp_path / "clinic", both("new", 3), seed=4)
    dataset = run.read_config().data.built.folder
    names = {name: split.examples.filenames for name, split in open_splits(dataset).items()}
    for split, count in (("train", 3), ("validation", 2), ("test", 1)):
        for number, name in enumerate(names[split][:count]):
            label = Path(name).parent.name
            shutil.copy(trained[0] / name, source / label / f"renamed-{split}{number}.jpeg")
    folder = score(run, source)
    overlap = figures_of(folder)["external"]["overlap"]
    assert overlap == {
        "unknown": "",
        "images": {"train": 3, "validation": 2, "test": 1},
        "copies": {"train": 0, "validation": 0, "test": 0},
        "patients": overlap["patients"],
    }
    said = "This model was made from 5 of the 12 images (of its dataset: 3 in train, 2 in validation, 1 in test)"
    printed = capsys.readouterr().out
    assert printed.index("12 images to score, all images of the source") < printed.index(said) < printed.index("auroc")
    assert said in text_of(folder)
    assert text_of(folder).index(said) < text_of(folder).index("Figures")


def test_copies_that_were_saved_again_are_counted_and_said_first(run, trained, tmp_path, capsys):
    source = write(tmp_path / "clinic", both("new", 3), seed=4)
    splits = open_splits(run.read_config().data.built.folder)
    for split, count in (("train", 2), ("test", 1)):
        for number, name in enumerate(splits[split].examples.filenames[:count]):
            whole = cv2.imread(str(trained[0] / name), cv2.IMREAD_GRAYSCALE)
            smaller = cv2.resize(whole, None, fx=0.9, fy=0.9, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(source / Path(name).parent.name / f"copy-{split}{number}.png"), smaller)
    name = splits["train"].examples.filenames[5]
    shutil.copy(trained[0] / name, source / Path(name).parent.name / "same.jpeg")
    folder = score(run, source)
    overlap = figures_of(folder)["external"]["overlap"]
    assert overlap["images"] == {"train": 1, "validation": 0, "test": 0}
    assert overlap["copies"] == {"train": 2, "validation": 0, "test": 1}
    said = "Other images are near-identical to images of the run's dataset (2 in train, 1 in test)"
    printed = capsys.readouterr().out
    assert printed.index("10 images to score") < printed.index(said) < printed.index("auroc")
    assert said in text_of(folder).replace("&#39;", "'")


def test_new_images_are_said_to_be_new_and_raise_no_warning(run, tmp_path, capsys):
    folder = score(run, write(tmp_path / "clinic", both("new", 3), seed=5))
    sentence = (
        "None of the 6 images is in the dataset that the run was trained on, byte for byte or as a near-identical copy."
    )
    assert sentence in capsys.readouterr().out
    assert "made from" not in text_of(folder)


@pytest.mark.parametrize("change", ["moved", "without its manifest", "another"])
def test_a_training_dataset_that_cannot_be_compared_is_said(run, tmp_path, capsys, change):
    dataset = Path(shutil.copytree(run.read_config().data.built.folder, tmp_path / "copy/gray_32/1.1.0"))
    content = json.loads(run.config.read_text())
    content["data"]["dataset"] = str(dataset)
    run.config.write_text(json.dumps(content))
    manifest = dataset / "manifest.sha256"
    if change == "moved":
        dataset.rename(tmp_path / "elsewhere")
    elif change == "without its manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text().replace("train/", "other/"))
    folder = score(run, write(tmp_path / "clinic", both("x", 2), seed=6))
    unknown = figures_of(folder)["external"]["overlap"]["unknown"]
    words = {"moved": "not where it was", "another": "replaced by another"}.get(change, "is gone or damaged")
    assert words in unknown
    said = f"It is not known how many of the 4 images the run was trained on: {unknown}"
    assert said in capsys.readouterr().out
    assert said in text_of(folder)


def test_patients_of_the_same_identifier_are_counted_where_tables_tell_them(run, tmp_path):
    """The run's own patients are unknown here; one dataset is given a table instead."""
    rows = [(name, Path(name).parent.name) for name in both("x", 6)]
    source = write(tmp_path / "own", [name for name, _ in rows], seed=7)
    lines = [f"{name},{label},mrn{number}" for number, (name, label) in enumerate(rows)]
    (source / "labels.csv").write_text("\n".join(["path,label,patient", *lines]) + "\n")
    content, data = json.loads(run.config.read_text()), run.read_config().data
    content["data"]["dataset"] = str(prepare(source / "labels.csv", 32, data.data_dir))
    run.config.write_text(json.dumps(content))
    metrics = figures_of(run)
    metrics["dataset"]["manifest_sha256"] = None  # of the dataset before
    run.metrics.write_text(json.dumps(metrics))
    other, known = write(tmp_path / "later", both("y", 2), seed=8), ("mrn0", "z1", "z2", "z3")
    lines = [f"{name},{Path(name).parent.name},{patient}" for name, patient in zip(both("y", 2), known, strict=True)]
    (other / "labels.csv").write_text("\n".join(["path,label,patient", *lines]) + "\n")
    folder = score(run, other / "labels.csv")
    overlap = figures_of(folder)["external"]["overlap"]
    assert sum(overlap["patients"].values()) == 1
    assert not any(overlap["images"].values())
    assert "Patients of other images have the same identifier" in text_of(folder)


def test_only_the_test_split_of_a_source_is_scored_if_it_has_one(run, tmp_path, capsys):
    source = write(tmp_path / "other", [*both("x", 4, "train/"), *both("y", 2, "test/")], seed=9)
    folder = score(run, source)
    table = read_csv(folder.predictions)["external"]
    assert all(name.startswith("test/") for name in table.filenames)
    assert figures_of(folder)["external"]["scored"] == "test"
    assert "4 images to score, the test split of the source" in capsys.readouterr().out
    assert "the images of its test split" in text_of(folder)


def test_a_source_with_a_test_folder_alone_can_be_scored(run, tmp_path):
    folder = score(run, write(tmp_path / "only", both("y", 2, "test/"), seed=10))
    assert figures_of(folder)["splits"]["external"]["n"] == 4


def test_images_of_one_class_are_scored_without_the_figures_that_need_both(run, tmp_path, capsys):
    source = write(tmp_path / "ill", both("x", 3), seed=11)
    folder = score(run, source)
    assert (folder.plots / "roc_external.png").exists()
    shutil.rmtree(source / "NORMAL")
    folder = score(run, source)
    assert not (folder.plots / "roc_external.png").exists()  # that of the evaluation before
    figures = figures_of(folder)["splits"]["external"]
    undefined = ("auroc", "specificity", "average_precision", "precision", "npv", "f1")
    assert [name for name in undefined if figures[name] is not None] == []
    assert figures["sensitivity"] is not None
    said = "The external images are of one class, so the figures that need both are left out"
    assert said in capsys.readouterr().out
    assert said in text_of(folder)


def test_one_patient_for_all_images_is_said_and_no_reason_to_stop(run, tmp_path, capsys):
    source = write(tmp_path / "anna", both("x", 2), seed=13)
    rows = "".join(f"{name},{Path(name).parent.name},anna\n" for name in both("x", 2))
    (source / "labels.csv").write_text(f"path,label,patient\n{rows}")
    folder = score(run, source / "labels.csv")
    assert figures_of(folder)["splits"]["external"]["n"] == 4
    printed = capsys.readouterr().out
    assert "warning: 4 of 4 images are of one patient by the column patient ('anna')" in printed
    assert "needs a decision" not in printed
    assert "4 of 4 images tell no patient, so the intervals count images" in text_of(folder)


def test_a_single_image_has_no_intervals_and_it_is_said(run, tmp_path, capsys):
    folder = score(run, write(tmp_path / "single", ["PNEUMONIA/x.jpeg"], seed=18))
    figures = figures_of(folder)["splits"]["external"]
    assert set(figures["intervals"].values()) == {None}
    assert "so there are no intervals" in capsys.readouterr().out
    assert "of pneumonias" in text_of(folder)


def test_the_report_is_about_the_other_source_with_the_runs_own_figures_beside(run, tmp_path, capsys):
    folder = score(run, write(tmp_path / "clinic", both("x", 3), seed=14))
    own, text = figures_of(run)["splits"]["test"], text_of(folder)
    assert "Pneumonia on chest X-rays" in text
    for wrong in (
        "There is no test split",
        "split off",
        "official test folder",
        "paediatric chest X-rays \u00b7",
        "source images",
    ):
        assert wrong not in text
    assert "another source than the run was trained on: all of its images" in text
    assert f"On the test images of its own source it had AUROC {own['auroc']:.3f}" in text
    assert "own test" in text
    assert "On 6 external images of unknown patients" in text
    assert "6 of 6 images tell no patient, so the intervals count images" in text
    printed = capsys.readouterr().out
    assert f"own test (n={own['n']})" in printed
    assert "over images (patients unknown)" in printed


def test_other_images_are_framed_as_the_run_was(run, trained, tmp_path):
    config = run.read_config()
    dataset = prepare(trained[0], 32, config.data.data_dir, framing="pad")
    run.write_config(replace(config, data=replace(config.data, framing="pad", dataset=dataset)))
    folder = score(run, write(tmp_path / "away", both("x", 2), seed=16))
    assert folder.read_config().data.built.name == "gray_32_pad"


def test_flags_that_would_not_be_obeyed_are_refused(run):
    with pytest.raises(InputError, match="--split test is of the run's own dataset; leave --split or --source out"):
        Evaluate(run_folder=run.path, source=Path("clinic"), split="test")
    with pytest.raises(InputError, match="--yes is about --source"):
        Evaluate(run_folder=run.path, yes=True)
    with pytest.raises(InputError, match=r"--corrections and --strict are about --source or --on"):
        Evaluate(run_folder=run.path, corrections=(Path("suspects.csv"),), strict=True)


def test_what_needs_a_decision_is_asked_before_anything_is_scored(run, tmp_path):
    source = write(tmp_path / "odd", [*both("x", 2, "ward1/"), *both("y", 2, "ward2/")], seed=15)
    with pytest.raises(InputError, match="ward1"):
        score(run, source)
    assert not list(run.path.glob("evaluation-*"))
    assert figures_of(score(run, source, yes=True))["splits"]["external"]["n"] == 8


def test_the_drop_the_looks_and_the_groups_are_on_page_and_terminal(run, tmp_path, capsys):
    """Of site b the pictures are black, so none of its pneumonias is found; of site a all are white."""
    source, rows = tmp_path / "clinic", ["path,label,patient,site"]
    for label in ("NORMAL", "PNEUMONIA"):
        (source / label).mkdir(parents=True)
        for number in range(24):
            name, site = f"{label}/{number}.png", "ab"[number % 2]
            level = (250 if label == "PNEUMONIA" else 60) if site == "a" else 10
            grain = np.random.default_rng(len(rows)).integers(0, 6, (40, 40))
            cv2.imwrite(str(source / name), (level + grain).clip(0, 255).astype(np.uint8))
            rows.append(f"{name},{label},{label}{number},{site}")
    (source / "labels.csv").write_text("\n".join(rows) + "\n")
    folder = score(run, source / "labels.csv", by=("site",))
    external, own = figures_of(folder)["external"], figures_of(run)["splits"]["test"]
    first, second = external["groups"]["site"]
    assert (first["group"], first["sensitivity"], second["sensitivity"]) == ("a", 1.0, 0.0)
    assert external["resembles"] is None  # validation has too few images
    here = figures_of(folder)["splits"]["external"]
    printed, text = capsys.readouterr().out, text_of(folder)
    difference = f"sensitivity {here['sensitivity'] - own['sensitivity']:+.3f} ("
    assert f"difference from its own test images: AUROC {here['auroc'] - own['auroc']:+.3f} (" in printed
    assert difference in printed
    assert f"{here['sensitivity'] - own['sensitivity']:+.3f}" in text
    for said in (printed, text):
        assert "site a: sensitivity differs by +1.000 from that of the others" in said
    assert "By site." in text
    assert "Groups" in text


def test_a_column_that_is_not_there_is_refused_before_anything_is_scored(run, tmp_path):
    source = write(tmp_path / "plain", both("x", 2), seed=19)
    with pytest.raises(InputError, match="--by age: no DICOM header"):
        score(run, source, by=("age",))
    assert not list(run.path.glob("evaluation-*"))
    with pytest.raises(InputError, match="--by is about the images of --source"):
        Evaluate(run_folder=run.path, by=("age",))


def test_a_threshold_that_was_chosen_on_the_very_images_is_warned_of(run, tmp_path):
    source = write(tmp_path / "mine", both("x", 4), seed=20)
    first = score(run, source)
    assert "chosen on these very images" not in text_of(first)
    metrics = figures_of(run)
    manifest = figures_of(first)["dataset"]["manifest_sha256"]
    overlap = {"unknown": "", "images": {}, "copies": {}, "patients": {}}
    metrics["decided_on"] = {"images": 8, "overlap": overlap, "manifest_sha256": manifest}
    run.metrics.write_text(json.dumps(metrics))
    assert "The threshold was chosen on these very images" in text_of(score(run, source))
