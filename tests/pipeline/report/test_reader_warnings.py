"""Sentences about a run that stand above its figures, in the report and on the terminal."""

import numpy as np
import pytest

from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.robustness import UNCHANGED
from pipeline.evaluation.scoring import by_interest, decide, score_splits
from pipeline.report.reader_warnings import _elsewhere, search_warnings, warnings
from pipeline.report.terminal import about_reliance
from pipeline.run_folder.folder import RunFolder

FAR = "standard deviations away; more than 0.5 is unlike"
UNLIKE = "are unlike validation images, as they are and through known changes; nearest are validation images"


@pytest.mark.parametrize(
    ("nearest", "distance", "says"),
    [
        (
            UNCHANGED,
            0.3,
            f"are like validation images as they are (0.30 {FAR}).",
        ),
        (UNCHANGED, 0.8, f"{UNLIKE} as they are (0.80 {FAR})."),
        (
            "low gamma",
            0.54,
            f"{UNLIKE} through the change low gamma (0.54 {FAR}; validation as it is: 0.80).",
        ),
    ],
)
def test_what_other_images_resemble_is_said_once(nearest, distance, says):
    like = {"nearest": nearest, "distance": distance, "unchanged": 0.8, "alike": distance <= 0.5}
    assert _elsewhere({"resembles": like}) == [f"In exposure and sharpness these images {says}"]


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
