"""Sentences about a run that stand above its figures, in the report and on the terminal."""

import json

import numpy as np
import pytest

from evaluated_run import evaluated_run, split
from pipeline.evaluation.doubt import four_answers, limits
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.robustness import UNCHANGED
from pipeline.evaluation.scoring import by_interest, decide, score_splits
from pipeline.evaluation.shortcuts import WITHOUT_LUNGS
from pipeline.report.reader_warnings import _elsewhere, search_warnings, warnings
from pipeline.report.report_tables import about_left, headline, with_interval
from pipeline.report.terminal import about_reliance, show
from pipeline.run_folder.folder import RunFolder


@pytest.mark.parametrize(
    ("nearest", "distance", "unchanged", "says"),
    [
        (
            UNCHANGED,
            0.3,
            0.3,
            "are like the validation images (0.30 standard deviations away; up to 0.5 counts as alike)",
        ),
        (UNCHANGED, 0.8, 0.8, "differ from the validation images (0.80 standard deviations away"),
        (
            "low gamma",
            0.54,
            0.8,
            "(0.80 standard deviations away; up to 0.5 counts as alike); nearest is the change low",
        ),
        ("low gamma", 0.4, 0.8, "; they are like these through the change low gamma (0.40)."),
    ],
)
def test_what_other_images_resemble_is_said_once(nearest, distance, unchanged, says):
    like = {"nearest": nearest, "distance": distance, "unchanged": unchanged, "alike": distance <= 0.5}
    (text,) = _elsewhere({"resembles": like})
    assert says in text


@pytest.mark.parametrize(("interval", "tells"), [([-2.867, 0.32], False), ([-0.28, 0.382], True), (None, True)])
def test_an_interval_that_tells_nothing_of_what_is_left_without_lungs_is_called_so(interval, tells):
    text = about_reliance({"left": -0.438, "interval": interval})
    assert "lungs blacked out: the nearer to 0, the better" in text
    assert ("too uncertain here to tell anything" in text) != tells


def test_what_nothing_was_chosen_on_leads_and_the_test_split_that_is_set_aside_is_named():
    names, labels = np.arange(120).astype(str), np.arange(120) % 2
    scores = np.random.default_rng(0).uniform(0, 0.6, 120) + 0.4 * labels
    table = Predictions(names, names, np.where(labels, "virus", "normal"), labels, scores)
    metrics = score_splits({"validation": table, "held_out": table}, decide(table, "youden"), 0, 50)
    assert by_interest(metrics["splits"]) == ["held_out", "validation"]
    said = " ".join(warnings({**metrics, "dataset": {"images": {"train": 9, "test": 3}}}, "held_out"))
    assert "nothing was chosen on them. The test split is set aside" in said
    assert "There is no test split" not in said
    assert "test split" not in " ".join(warnings(metrics, "held_out"))


def test_after_a_search_the_figures_that_it_has_seen_are_called_too_optimistic(tmp_path):
    run, fold = RunFolder(tmp_path), RunFolder(tmp_path).fold(2)
    assert search_warnings(run, ["validation", "test"]) == []
    run.search_winner.parent.mkdir()
    run.search_winner.write_text("{}")
    (said,) = search_warnings(run, ["validation", "test"])
    assert said.endswith("so the figures on validation are too optimistic.")
    assert "on validation and held_out are" in search_warnings(fold, ["validation", "held_out"])[0]
    assert search_warnings(run, ["external"]) == []
    run.folds.write_text("{}")
    assert "on validation, out of fold too, are" in search_warnings(run, ["validation"])[0]


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (None, "Undefined here"),
        (-0.653, "ranks worse than chance"),
        (2.091, "ranks better without the lungs"),
        (0.3, ""),
    ],
)
def test_values_outside_0_to_1_of_what_is_left_without_lungs_are_explained(left, says):
    assert says in about_reliance({"left": left, "interval": None})
    assert about_left(0.3) == ""


def metrics_of(path, low, high):
    run = evaluated_run(path)
    metrics = json.loads(run.metrics.read_text())
    doubt = {"certain_normal_below": low, "certain_pneumonia_from": high, "familiarity_threshold": None}
    metrics["doubt"] = doubt | {"guarantee": "none: the best that can be shown is little"}
    run.metrics.write_text(json.dumps(metrics))
    return run, metrics


def test_a_model_that_answers_uncertain_to_everything_is_warned_of_first(tmp_path, capsys):
    run, metrics = metrics_of(tmp_path, 0.0, 1.0)
    first = warnings(metrics, "test")[0]
    patients = metrics["splits"]["validation"]["patients"]
    assert first.startswith("This model answers UNCERTAIN to every image that it does not refuse")
    assert f"{patients} validation patients are too few" in first
    for remedy in ("--guarantee none", "--two-way"):
        assert remedy in first
    assert "by its threshold alone" in headline(metrics, "test")
    show(run)
    printed = capsys.readouterr().out
    assert printed.index("warning: This model answers UNCERTAIN") == printed.index("warning: ")
    assert "no guarantee of certain answers: the best that can be shown is little" in printed


def test_the_remedies_for_uncertain_answers_work():
    table = split(20, 0, "v")
    none = limits([table], 0.5, (), 0.5, rule="none")
    assert set(four_answers(table, none)) == {"NORMAL", "PNEUMONIA"}


@pytest.mark.parametrize(
    ("low", "high", "never", "less"), [(0.0, 0.9, "NORMAL", "sensitivity"), (0.1, 1.0, "PNEUMONIA", "specificity")]
)
def test_an_answer_that_is_never_given_is_named_and_why(tmp_path, low, high, never, less):
    _, metrics = metrics_of(tmp_path, low, high)
    first = warnings(metrics, "test")[0]
    assert first.startswith(f"This model never answers {never}: such an answer must lie")
    assert f"asks for less {less}" in first
    assert "by its threshold alone" not in headline(metrics, "test")


@pytest.mark.parametrize(("origin", "may_differ"), [("carved", False), ("official", True), (None, True)])
def test_a_test_split_drawn_at_random_is_not_said_to_differ(tmp_path, origin, may_differ):
    metrics = json.loads(evaluated_run(tmp_path).metrics.read_text())
    metrics["dataset"]["test_origin"] = origin
    metrics["splits"]["test"] |= {"specificity": 0.1}
    metrics["splits"]["test"]["intervals"]["specificity"] = [0.0, 0.2]
    (text,) = [text for text in warnings(metrics, "test") if "looks better than test" in text]
    assert "specificity 0.100 on test" in text
    assert ("may also differ" in text) == may_differ
    assert text.lower().endswith("believe test.")


def test_shortcuts_are_warned_of_on_the_terminal_too(tmp_path, capsys):
    run = evaluated_run(tmp_path)
    row = {"name": WITHOUT_LUNGS[0], "auroc": 0.757}
    run.shortcuts.write_text(json.dumps({"split": "validation", "rows": [row]}))
    show(run)
    assert "warning: The classes can be told apart without the lungs" in capsys.readouterr().out


def test_ece_has_no_interval_and_needs_images_for_two_bins():
    """A resample raises ECE, so that its interval could lie above it."""
    figures = {"n": 40, "ece": 0.056, "brier": 0.1, "intervals": {"ece": [0.062, 0.128], "brier": [0.0, 0.2]}}
    assert with_interval(figures, "ece") == (0.056, None)
    assert with_interval(figures, "brier") == (0.1, [0.0, 0.2])
    assert with_interval(figures | {"n": 39}, "ece") == (None, None)
