"""The model card of a run and its checklist: front matter that hubs read, no patient named, nothing invented."""

from __future__ import annotations

import html
import json
import re
import tomllib
from importlib.resources import files

import pytest

from evaluated_run import evaluated_run
from pipeline.evaluation.evaluation_lock import write_lock
from pipeline.evaluation.scoring import Decision
from pipeline.report.checklist import filled_in
from pipeline.report.model_card import facts, statements
from pipeline.report.report_page import write_report
from pipeline.run_folder.folder import RunFolder

TABLE = tomllib.loads(files("pipeline.report").joinpath("reporting_guidelines.toml").read_text("utf-8"))


@pytest.fixture
def run(tmp_path):
    return evaluated_run(tmp_path / "first: run")


def card(run):
    write_report(run)
    return run.model_card.read_text(encoding="utf-8")


def change(run, **values):
    run.metrics.write_text(json.dumps(json.loads(run.metrics.read_text()) | values))


def rows(run, guideline):
    """The rows of a guideline in the page, by number: state, and what the run says."""
    page = run.checklist.read_text(encoding="utf-8")
    part = page[page.index(f"<h2>{guideline}</h2>") + 4 :].partition("<h2>")[0]
    cells = re.findall(r'<tr><td>(\w+)</td><td>.*?</td><td class="(\w+)">.*?</td><td>(.*?)</td></tr>', part)
    return {number: (state, html.unescape(text)) for number, state, text in cells}


def test_the_front_matter_is_yaml_that_model_hubs_read(run):
    yaml = pytest.importorskip("yaml")
    change(run, pretrained_weights={"name": "made weights", "license": "Apache-2.0", "sha256": "ab" * 32})
    _, front, text = card(run).split("---\n", 2)
    found = yaml.safe_load(front)
    assert (found["library_name"], found["pipeline_tag"]) == ("onnx", "image-classification")
    assert found["license"] == "unknown"  # who trained it has not said
    assert "the pretrained weights are Apache-2.0" in front
    (model,) = found["model-index"]
    assert model["name"] == "first: run"
    (result,) = model["results"]
    assert (result["dataset"]["type"], result["dataset"]["split"]) == ("pneumo_tfds/gray_224", "test")
    figures = json.loads(run.metrics.read_text())["splits"]["test"]
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["roc_auc"] == pytest.approx(figures["auroc"], abs=1e-5)
    assert values["recall"] == pytest.approx(figures["sensitivity"], abs=1e-5)
    assert set(values) == set(found["metrics"])
    assert "ab" * 32 in text


def test_it_says_the_words_of_the_report_and_the_figures_with_their_intervals(run):
    text = card(run)
    report = html.unescape(run.report.read_text(encoding="utf-8"))
    for name, words in statements(json.loads(run.metrics.read_text())["dataset"], {}).items():
        assert f"- **{name}:** {words}" in text
        assert f"<strong>{name}:</strong> {words}" in report
    figures = json.loads(run.metrics.read_text())["splits"]["test"]
    low, high = figures["intervals"]["auroc"]
    assert f"| AUROC | {figures['auroc']:.3f} ({low:.3f} to {high:.3f}) |" in text
    assert "| | test, 120 images | validation, 90 images |\n|---|---|---|\n| AUROC |" in text
    assert "It answers NORMAL or PNEUMONIA to every image" in text


def test_neither_card_nor_checklist_names_a_patient_a_file_or_a_folder(run):
    text = card(run) + run.checklist.read_text(encoding="utf-8")
    for private in ("SECRET", "somebody", "xrays"):
        assert private not in text


def test_a_run_of_four_answers_says_how_many_it_does_not_answer(run):
    metrics = json.loads(run.metrics.read_text())
    given = {"NORMAL": 30, "PNEUMONIA": 60, "UNCERTAIN": 24, "UNSUITABLE": 6}
    answered = {"answers": {name: {"NORMAL": count, "PNEUMONIA": 0} for name, count in given.items()}}
    metrics["splits"]["test"]["answered"] = answered | {"share": 0.75, "accuracy": 0.9, "npv": 0.9, "ppv": 0.9}
    limits = {"certain_normal_below": 0.1, "certain_pneumonia_from": 0.9, "familiarity_threshold": 0.01}
    run.metrics.write_text(json.dumps(metrics | {"doubt": limits | {"guarantee": "NPV at least 0.95"}}))
    assert "| test | 75.0 % | 20.0 % | 5.0 % | 90.0 % |" in card(run)
    assert rows(run, "STARD-AI")["19"][0] == "yes"
    assert "20.0 % of test UNCERTAIN, 5.0 % UNSUITABLE" in rows(run, "STARD-AI")["19"][1]


def test_figures_of_another_source_come_into_the_card_of_the_run_without_its_name(run):
    assert "It was not scored on another source" in card(run)
    assert rows(run, "CLAIM 2024")["33"] == ("people", "")
    other = evaluated_run(run.path / "evaluation-SECRETCLINIC")
    metrics = json.loads(other.metrics.read_text())
    figures = metrics["splits"].pop("test")
    external = {"scored": "all", "own": {}, "overlap": {"unknown": "made", "images": {}, "patients": {}}}
    other.metrics.write_text(json.dumps(metrics | {"splits": {"external": figures}, "external": external}))
    table = other.predictions.read_text()
    other.predictions.write_text(table.replace("test,", "external,"))
    write_report(RunFolder(other.path))
    assert not other.model_card.exists()
    text = run.model_card.read_text(encoding="utf-8")
    assert "another source, 120 images |" in text
    assert "SECRET" not in text
    state, said = rows(run, "CLAIM 2024")["33"]
    assert state == "partly"
    assert f"120 images of another source: AUROC {figures['auroc']:.3f}" in said
    own = json.loads(run.metrics.read_text())
    own["operating_point"] |= {"threshold": 0.123}
    run.metrics.write_text(json.dumps(own))
    assert "another source, 120 images |" not in card(run)


def test_names_are_escaped_once_in_the_page_and_not_in_the_text(run):
    metrics = json.loads(run.metrics.read_text())
    metrics["dataset"] |= {"layout": "own", "title": "Clinic <b>&co", "manifest_sha256": "ab" * 32}
    run.metrics.write_text(json.dumps(metrics))
    text = card(run)
    assert text.startswith("---\nlicense: ")
    assert "It was built from Clinic <b>&co." in text
    assert "It was built from Clinic &lt;b&gt;&amp;co. Manifest" in run.checklist.read_text(encoding="utf-8")


def test_what_is_refused_is_not_claimed_beyond_what_was_measured(run):
    limits = {"certain_normal_below": 0.1, "certain_pneumonia_from": 0.9, "guarantee": "none"}
    refused = {"upside down": 0.913}
    change(run, doubt=limits | {"familiarity_threshold": 0.01}, refused=refused)
    text = card(run)
    assert "Pictures that are no chest X-ray are mostly refused as UNSUITABLE. X-rays with another finding" in text
    assert "views and people unlike those of the training data are often answered all the same" in text
    assert "made wrong on purpose it refuses 91.3 % of those upside down." in text
    assert "Who the people on its images are is not recorded" in text
    change(run, refused={"upside down": 0.0})
    assert "Pictures that are no chest X-ray are often answered all the same: do not rely on UNSUITABLE" in card(run)
    assert "mostly refused" not in card(run)
    assert "as far as these are known" in card(run)
    change(run, doubt=limits | {"familiarity_threshold": None}, refused={})
    assert "get a probability too, which is meaningless" in card(run)
    words = statements({"layout": "kermany"}, {"doubt": {"familiarity_threshold": 0.01}})
    assert "children of one to five years from one hospital" in words["Training data"]
    assert "lateral views and adults are often answered all the same" in words["What it answers"]


def test_shortcuts_of_the_run_are_among_what_to_distrust(run):
    rows = {"the whole image": 0.99, "lung fields blacked out": 0.89, "only the border": 0.69}
    others = {"interval": None, "sensitivity": 1.0, "specificity": 0.0}
    rows = [{"name": name, "auroc": auroc, **others} for name, auroc in rows.items()]
    run.shortcuts.write_text(json.dumps({"split": "validation", "images": 60, "rows": rows}))
    text = card(run)
    distrust = text[text.index("## What to distrust") : text.index("## Figures")]
    assert "without the lungs, on validation images with AUROC 0.890 for lung fields blacked out. The" in distrust
    assert "AUROC on 60 of 90 validation images with parts removed (picked at random" in text
    assert "without the lungs, on validation images with AUROC 0.890" in run.report.read_text(encoding="utf-8")


def test_predictive_values_stand_beside_the_share_of_pneumonia(run):
    text = card(run)
    figures = json.loads(run.metrics.read_text())["splits"]["test"]
    assert "| Share of PNEUMONIA, on which PPV and NPV depend | 67 % | 67 % |" in text
    assert f"| NPV | {figures['npv']:.3f} (" in text


def test_a_broken_evaluation_lock_is_among_what_to_distrust(run):
    run.model.write_bytes(b"weights")
    write_lock(run, Decision.from_json(json.loads(run.metrics.read_text()), run.metrics))
    run.metrics.touch()
    assert "Evaluation lock" not in card(run)
    run.model.write_bytes(b"other weights")
    assert "- Evaluation lock: broken." in card(run)


def test_an_item_is_answered_only_where_the_run_has_the_evidence(run):
    card(run)
    assert rows(run, "CLAIM 2024")["24"] == ("people", "")  # weights and versions were not recorded
    assert rows(run, "CLAIM 2024")["44"] == ("people", "")
    assert rows(run, "TRIPOD+AI")["23a"][0] == "partly", "the run has no subgroups"
    run.parity.write_text(json.dumps({"made_with": "pneumo 0.1.0, keras 3.9"}))
    assert "Exported with: pneumo 0.1.0, keras 3.9;" in card(run)
    assert "Exported with pneumo 0.1.0, keras 3.9." in rows(run, "CLAIM 2024")["23"][1]
    change(run, pretrained_weights={"name": "random weights"}, software={"pneumo": "0.1.0", "keras": "3.12"})
    run.config.write_text(json.dumps({"fit": {"seed": 7, "ensemble_size": 2}}))
    card(run)
    assert rows(run, "CLAIM 2024")["24"][0] == "yes"
    assert "Random weights. Seed 7." in rows(run, "CLAIM 2024")["24"][1]
    assert "2 networks that differ" in rows(run, "CLAIM 2024")["27"][1]
    assert "pneumo 0.1.0, keras 3.12." in rows(run, "CLAIM 2024")["23"][1]


def test_the_guidelines_have_all_of_their_items_once_and_no_evidence_is_unused(run):
    found = {guideline["name"]: guideline for guideline in filled_in(TABLE, facts(run))}
    for name, items in (("CLAIM 2024", 44), ("TRIPOD+AI", 27), ("STARD-AI", 40)):
        numbers = [item["number"] for section in found[name]["section"] for item in section["items"]]
        assert len(numbers) == len(set(numbers))
        assert {int(re.match(r"\d+", number)[0]) for number in numbers} == set(range(1, items + 1))
    used = {
        item[2] for guideline in TABLE["guideline"] for section in guideline["section"] for item in section["items"]
    }
    assert used - {""} == set(TABLE["evidence"])


def of_the_run(run, data=None, fit=None, held=30):
    """What the checklist says of a run with other settings, whose dataset has 300, 90 and 120 images."""
    metrics = json.loads(run.metrics.read_text())
    counts = {"train": 300, "validation": 90, "test": 120}
    metrics["dataset"] |= {"images": counts, "patients": counts, "split_rule": "by patient", "dropped": 0}
    if data:
        metrics["splits"] = {"validation": metrics["splits"]["validation"]}
        if held:
            metrics["splits"]["held_out"] = metrics["splits"]["validation"] | {"n": held, "patients": held}
    run.metrics.write_text(json.dumps(metrics))
    run.config.write_text(json.dumps({"data": data or {}, "fit": {"ensemble_size": 1, "keep": "best"} | (fit or {})}))
    known = facts(run) | {"split": "validation"}
    claim = filled_in(TABLE, known)[0]
    return {item["number"]: item["text"] for section in claim["section"] for item in section["items"]}


@pytest.mark.parametrize("data", [{"hold_out": "im"}, {"folds": 5, "fold": 2}])
def test_images_that_were_held_out_are_not_counted_as_training_images(run, data):
    said = of_the_run(run, data)
    assert "train 270, validation 90, held_out 30, test, set aside 120" in said["19"]
    assert "train 315, validation 45, held_out 30, test, set aside 120" in said["20"]
    assert "train: 270 images" in said["35"]


def test_a_committee_of_folds_is_described_as_one(run):
    said = of_the_run(run, {"folds": 2}, {"ensemble_size": 2, "keep": "last"}, held=0)
    assert "train and validation, in 2 folds 390, test 120" in said["19"]
    assert "4 networks that differ by the patients that they were trained on and their seeds" in said["27"]
    assert said["26"].startswith("The last epoch.")
    said = of_the_run(run, {"folds": 5}, held=0)
    assert "5 networks that differ by the patients that they were trained on; their" in said["27"]


def test_one_network_and_a_search_are_described_as_such(run):
    said = of_the_run(run)
    assert "train 300, validation 90, test 120" in said["19"]
    assert "None: one network." in said["27"]
    assert "search" not in said["26"]
    run.search_winner.parent.mkdir()
    run.search_winner.write_text("{}")
    said = of_the_run(run)
    assert said["26"].startswith("The epoch with the best validation AUROC, with the settings that won a search")
