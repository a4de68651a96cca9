"""The page about a run: headline first, nothing fetched, no patient named, rebuilt from the folder."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from evaluated_run import evaluated_run, split
from pipeline.evaluation.evaluation_lock import write_lock
from pipeline.evaluation.predictions import Predictions, write_csv
from pipeline.evaluation.scoring import Decision, decide, score_splits
from pipeline.report import plots
from pipeline.report.report_page import write_report
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError


@pytest.fixture
def run(tmp_path):
    return evaluated_run(tmp_path / "run <b>one")


def page(folder, **options):
    write_report(folder, **options)
    return folder.report.read_text(encoding="utf-8")


def change(folder, edit):
    content = json.loads(folder.metrics.read_text())
    edit(content)
    folder.metrics.write_text(json.dumps(content))


def text_of(html):
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL).replace("\u00a0", " ").split())


def test_the_headline_comes_first_with_numbers_intervals_and_the_origin_of_the_threshold(run):
    metrics = json.loads(run.metrics.read_text())
    figures, text = metrics["splits"]["test"], text_of(page(run))
    low, high = figures["intervals"]["sensitivity"]
    said = (
        f"finds {100 * figures['sensitivity']:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}) of pneumonias"
    )
    assert said in text
    assert f"clears {100 * figures['specificity']:.1f} %" in text
    assert f"AUROC {figures['auroc']:.3f}" in text
    assert "On 120 test images of 60 patients" in text
    assert text.index(said) < text.index("Figures") < text.index("Model card")
    assert f"if its probability is {metrics['operating_point']['threshold']} or higher" in text
    assert "sensitivity>=0.9 chose this threshold on validation".replace(">", "&gt;") in text
    assert "test split that the data set itself has" in text


def test_what_the_model_is_not_for_stands_above_the_figures(run):
    change(run, lambda metrics: metrics["dataset"].update(layout="kermany", title="Kermany et al."))
    text = text_of(page(run))
    for words in ("For research and teaching only", "children", "one hospital", "not for adults, lateral views"):
        assert text.index(words) < text.index("Figures"), words


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"layout": "rsna-pneumonia", "title": "RSNA <2018>"}, "trained on RSNA &lt;2018&gt;."),
        (
            {"layout": "table", "title": "a table of images"},
            "Nobody recorded who the patients on its training images were.",
        ),
        ({}, "Nobody recorded who the patients on its training images were."),
    ],
)
def test_children_are_named_only_where_the_model_was_trained_on_them(run, known, says):
    change(run, lambda metrics: metrics["dataset"].update(known))
    text = text_of(page(run))
    assert text.index(says) < text.index("another hospital without a new evaluation") < text.index("Figures")
    for wrong in ("children", "child", "aediatric", "adults", "one hospital", "Kermany"):
        assert wrong not in text, wrong


def test_a_model_of_phantoms_is_of_nobody(run):
    change(run, lambda metrics: metrics["dataset"].update(phantom=True, layout="phantoms", title="Phantoms"))
    text = text_of(page(run))
    assert "Pneumonia on phantoms" in text
    assert "It was trained on phantoms, drawn by a program, and is for no X-rays." in text
    assert "The program that drew the images." in run.checklist.read_text(encoding="utf-8")
    assert "phantoms, drawn by a program" in run.model_card.read_text(encoding="utf-8")
    for wrong in ("children", "paediatric", "Kermany", "readers of the images"):
        assert wrong not in text, wrong


@pytest.mark.parametrize("settings", [None, "threshold_under_shift", "under_shift"])
def test_figures_of_the_threshold_that_differ_from_the_table_are_explained(run, settings):
    """The rule may have seen validation through 15 changes as well; the table never does."""
    if settings:
        run.config.write_text(json.dumps({"evaluation": {settings: True}}))
    explained = "Over all 16 views it reached sensitivity" in text_of(page(run))
    assert explained == bool(settings)
    assert ("so their figures differ" in page(run)) == bool(settings)


def test_no_patient_no_file_and_no_folder_is_named(run):
    html = page(run)
    assert "SECRET" not in html
    assert "somebody" not in html
    assert "xrays" not in html
    assert "by patient</td>" in html


def test_names_are_shown_when_they_are_asked_for(run):
    html = page(run, show_names=True)
    assert re.search(r"<td>t/SECRETFILE\d+\.jpeg</td>", html)
    assert "/home/somebody/xrays" in html
    assert "suspects.csv" in html
    assert "no patient or file is named here" not in html


def test_the_folder_of_other_images_is_not_in_the_title(run):
    other = RunFolder(run.path.rename(run.path.with_name("evaluation-SECRETCLINIC")))
    assert "SECRETCLINIC" not in page(other)
    assert "on other images" in page(other)


def test_nothing_is_fetched_and_pictures_are_inside(run):
    plots.class_distribution(run.plots / "class_distribution.png", {"train": {"normal": 3, "virus": 4}})
    html = page(run)
    sources = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attrs):
            assert tag not in ("script", "link", "iframe", "object")
            links = (value for key, value in attrs if key in ("src", "href", "srcset"))
            sources.extend(link for link in links if link != "#model-card")

    Links().feed(html)
    assert len(sources) == 1
    assert sources[0].startswith("data:image/png;base64,iVBOR")
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import", html)


def test_names_are_escaped(run):
    html = page(run)
    assert "<b>one" not in html
    assert "run &lt;b&gt;one" in html


def test_pneumonia_is_the_positive_class_in_the_classification_report(run):
    figures = json.loads(run.metrics.read_text())["splits"]["test"]
    row = f"PNEUMONIA {figures['precision']:.3f} {figures['sensitivity']:.3f} {figures['f1']:.3f} 80"
    assert row in text_of(page(run))
    counts = figures["confusion_matrix"]
    assert f"Called NORMAL: {counts['fn']} of 80 PNEUMONIA images" in text_of(page(run))


def test_smoothness_above_what_is_aimed_at_is_bold(run):
    rows = {
        "one grey level": {"images": 60, "p99_change": 0.031, "turned": 0.001},
        "two grey levels": {"images": 60, "p99_change": 0.019, "turned": 0.017},
    }
    run.robustness.write_text(json.dumps({"smoothness": rows}))
    html = page(run)
    for above, below in (("0.031", "0.1 %"), ("1.7 %", "0.019")):
        assert f"<strong>{above}</strong>" in html
        assert f'<td class="num">{below}</td>' in html


def test_tiles_of_the_checklist_say_what_is_left_to_people(run):
    page(run)
    tiles = run.checklist.read_text(encoding="utf-8")
    assert re.search(r'<b>\d+ complete</b><span class="soft">\d+ partial, \d+ to be filled in by hand</span>', tiles)


def test_errors_are_identified_by_their_row_of_the_table(run):
    lines = run.predictions.read_text().splitlines()
    text = text_of(page(run))
    rows = re.findall(r"(\d+) (NORMAL|PNEUMONIA) (\w+) (NORMAL|PNEUMONIA) (>?[01]\.\d{3})", text)
    assert rows
    for number, label, kind, called, probability in rows:
        columns = lines[int(number)].split(",")
        assert columns[3:5] == [kind, label]
        assert called != label
        assert float(columns[5]) == pytest.approx(float(probability.strip(">")), abs=1e-3)


def test_errors_say_why_they_were_called_what_they_were(run):
    """A probability of 0.82 is NORMAL where the threshold is 0.83."""
    doubt = {"familiarity_threshold": None, "certain_normal_below": 0.01, "certain_pneumonia_from": 0.995}
    change(run, lambda metrics: metrics.update(doubt=doubt | {"guarantee": "none"}))
    threshold = json.loads(run.metrics.read_text())["operating_point"]["threshold"]
    found = re.findall(
        r"([\d.]+) is (below|at or above) the threshold ([\d.]+); answer in practice: (\w+)(:| )", text_of(page(run))
    )
    assert found
    for probability, side, named, answer, more in found:
        assert float(named) == pytest.approx(threshold, rel=1e-4)
        assert (float(probability) < threshold) == (side == "below")
        assert (answer == "UNCERTAIN") == (0.01 <= float(probability) < 0.995) == (more == ":")


def test_phantoms_are_called_phantoms(run):
    assert "These are phantoms" not in page(run)
    change(run, lambda metrics: metrics["dataset"].update(phantom=True))
    assert text_of(page(run)).index("drawings made by a program, not X-rays") < text_of(page(run)).index(
        "the model finds"
    )


def test_a_test_split_of_the_same_source_is_named_and_warned_of(run):
    change(run, lambda metrics: metrics["dataset"].update(test_origin="carved"))
    text = text_of(page(run))
    assert "They were split off by patient" in text
    assert "official test folder" not in text
    assert "expect lower figures in use" in text


def test_doubt_that_cannot_be_relied_on_is_warned_of(run):
    doubt = {"familiarity_threshold": 0.01, "certain_normal_below": 0.01, "certain_pneumonia_from": 0.995}
    change(run, lambda metrics: metrics.update(doubt=doubt | {"guarantee": "NPV at least 0.95 and PPV at least 0.95"}))
    change(run, lambda metrics: metrics.update(refused={"upside down": 0.9, "turned by 90 degrees": 0.8}))
    text = text_of(page(run))
    assert "too few patients, or too many errors" not in text
    assert "It holds for patients and machines like those of validation" in text
    assert "UNSUITABLE are 90.0 % of those upside down, 80.0 % of those turned by 90 degrees" in text
    assert "Do not rely on UNSUITABLE" not in text
    none = doubt | {"guarantee": "none: the best that can be shown on 9 validation patients is npv>=0.6,ppv>=0.6"}
    change(run, lambda metrics: metrics.update(doubt=none, refused={"upside down": 0.9, "turned by 90 degrees": 0.5}))
    text = text_of(page(run))
    assert "too few patients, or too many errors, to guarantee anything of certain answers" in text
    assert "It holds for patients" not in text
    assert "it refuses 50.0 % of those turned by 90 degrees. Do not rely on UNSUITABLE" in text


def test_a_shift_between_validation_and_test_is_warned_of(run):
    def specificity(value, low, high):
        def edit(metrics):
            metrics["splits"]["test"] |= {
                name: metrics["splits"]["validation"][name] for name in ("sensitivity", "auroc")
            }
            metrics["splits"]["test"]["intervals"] = dict(metrics["splits"]["validation"]["intervals"])
            metrics["splits"]["test"]["specificity"] = value
            metrics["splits"]["test"]["intervals"]["specificity"] = [low, high]

        change(run, edit)

    specificity(0.9, 0.5, 1.0)
    assert "looks better than test" not in page(run)
    specificity(0.5, 0.4, 0.6)
    assert "specificity 0.500 on test" in text_of(page(run))


HISTORY = (
    "epoch,loss,learning_rate,validation_loss,validation_auroc,validation_accuracy,seconds,images_per_second,waiting\n"
    "1,0.5,0.001,0.4,0.7,0.9,60,100.0,0.1\n2,0.4,0.0005,0.3,0.9,0.9,60,120.0,0.1\n3,0.4,0.0001,0.3,0.8,0.9,60,130,0.1\n"
)


def test_the_files_of_later_stages_appear_once_they_are_there(run):
    assert "exported files" not in page(run)
    found = {"passed": True, "images": 70, "max_abs_probability": 3e-7, "decision_flips": 0}
    found |= {"auroc_keras": 0.99, "auroc_file": None}
    any_size = {"passed": True, "files": 7, "max_levels": 2, "max_abs_probability": 5e-3, "differences": []}
    files = {"model.onnx": found, "model.any_size.onnx": any_size}
    run.parity.write_text(json.dumps({"split": "validation", "files": files}))
    run.history.write_text(HISTORY)
    text = text_of(page(run))
    assert "model.onnx yes 70 3.0e-07 0 0.9900 –" in text
    assert "model.any_size.onnx takes pictures of any size. On 7 example files its pixels differ" in text
    assert "`model.any_size.onnx` takes pictures of any size. On 7 example" in (run.path / "model_card.md").read_text()
    assert "3 epochs in 3.0 minutes, 120 images a second. The best validation AUROC was 0.9000, at epoch 2." in text


def test_figures_under_shift_appear_once_they_are_there(run):
    assert "look different" not in page(run)
    row = {"auroc": 0.9123, "balanced_accuracy": 0.8, "sensitivity": 0.7, "specificity": 0.9}
    row |= {"auroc_normal_changed": 0.8765, "auroc_pneumonia_changed": 0.95}
    found = {"views": {"as they are": row, "darker": row}, "mean": row, "worst": {**row, "auroc": 0.6543}}
    run.robustness.write_text(json.dumps(found))
    html = page(run)
    assert "look different" in html
    assert "darker" in html
    assert "0.654" in html
    assert "0.876" in html or "0.877" in html
    assert "Over all 16 views" in html


def test_lock_explanation_and_shortcuts_appear_once_they_are_there(run):
    assert "Evaluation lock" not in page(run)
    run.model.write_bytes(b"weights")
    write_lock(run, Decision.from_json(json.loads(run.metrics.read_text()), run.metrics))
    row = {"name": "only the border", "auroc": 0.91, "interval": [0.88, 0.94], "sensitivity": 0.5, "specificity": None}
    run.metrics.touch()
    run.shortcuts.write_text(json.dumps({"split": "validation", "images": 60, "rows": [row]}))
    explanation = {"drop_at_peak": 0.3, "drop_elsewhere": 0.1, "difference": 0.2, "interval": [0.15, 0.25]}
    explanation |= {"log_odds_difference": 1.5, "log_odds_interval": [0.2, 0.999]}
    run.explanation.write_text(json.dumps(explanation | {"images": 100, "peak_wins": 0.93}))
    text = text_of(page(run))
    assert "Evaluation lock: kept." in text
    assert "only the border 0.910 0.880 to 0.940 0.500 \u2013" in text
    assert "a difference of 0.200 (0.150 to 0.250), over 100 images called PNEUMONIA" in text
    assert "the difference is 1.50 (0.20 to 1.00)" in text  # no proportion, so it may be rounded up to 1
    assert "poor guide" not in text
    assert "Validation images with parts removed: 60 images of 90, picked at random" in text
    run.explanation.write_text(json.dumps(explanation | {"images": 9, "peak_wins": 0.4, "interval": [-1, 1]}))
    run.model.write_bytes(b"other weights")
    text = text_of(page(run))
    assert "Evaluation lock: broken. What was scored is not what was locked: the weights changed since." in text
    assert "poor guide" in text


def test_one_class_in_test_is_reported_and_breaks_nothing(run):
    raw = split(90, 0, "v")
    single = split(60, 1, "t")
    rows = np.flatnonzero(single.labels == 1)
    columns = (single.filenames, single.patients, single.subtypes, single.labels, single.probabilities)
    tables = {"validation": raw, "test": Predictions(*[column[rows] for column in columns])}
    write_csv(run.predictions, tables)
    run.metrics.write_text(json.dumps(score_splits(tables, decide(raw, "youden"), 0, 20)))
    assert "of one class" in text_of(page(run))


@pytest.mark.parametrize(("shown", "warned"), [("validation", True), ("held_out", False)])
def test_figures_are_called_too_optimistic_only_where_the_threshold_was_chosen_on_them(run, shown, warned):
    tables = {shown: split(90, 0, "v")}
    write_csv(run.predictions, tables)
    run.metrics.write_text(json.dumps(score_splits(tables, decide(tables[shown], "youden"), 0, 20)))
    text = text_of(page(run))
    assert ("these figures are too optimistic" in text) == warned
    assert "test images" not in text


def test_a_run_that_was_not_evaluated_is_one_clear_error(run, tmp_path):
    with pytest.raises(InputError, match=r"metrics\.json is not there"):
        write_report(RunFolder(tmp_path / "nothing"))
    run.metrics.write_text(json.dumps({"splits": {"test": {}}}))
    with pytest.raises(InputError, match="not complete"):
        write_report(run)
    run.metrics.write_text("{half")
    with pytest.raises(InputError, match=r"metrics\.json"):
        write_report(run)


@pytest.mark.parametrize(
    ("chosen_on", "said"),
    [
        ("validation", "at the threshold that was chosen on all of these views together."),
        ("other images", "at the threshold of this run, which was chosen on other images."),
    ],
)
def test_robustness_says_where_its_threshold_was_chosen(run, chosen_on, said):
    metrics = json.loads(run.metrics.read_text())
    metrics["operating_point"]["chosen_on"] = chosen_on
    run.metrics.write_text(json.dumps(metrics))
    names = ("auroc", "balanced_accuracy", "sensitivity", "specificity", "auroc_normal_changed")
    row = dict.fromkeys((*names, "auroc_pneumonia_changed"), 0.9)
    run.robustness.write_text(json.dumps({"views": {"darker": row}, "mean": row, "worst": row}))
    assert said in text_of(page(run))


def test_intervals_name_the_resamples_that_were_used_and_no_others(run):
    run.shortcuts.write_text(json.dumps({"split": "validation", "rows": []}))
    text = text_of(page(run))
    assert "from 50 bootstrap resamples" in text
    assert "1,000 in the checks" not in text
