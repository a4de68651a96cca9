"""From predictions to metrics.json: what is chosen, on what, and that test is never looked at."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.calibration import logits, probabilities_at
from pipeline.predictions import Predictions, read_csv, write_csv
from pipeline.scoring import calibrated, choice_from_json, decide, evaluate_splits, score_splits
from pneumo_tfds.errors import InputError

NAMES = {
    *("n", "prevalence", "accuracy", "auroc", "average_precision", "sensitivity", "specificity", "precision", "f1"),
    *("brier", "ece", "balanced_accuracy", "npv", "confusion_matrix", "intervals", "by_subtype", "predictive_values"),
    "patients",
}


def split(n, seed, shift=0.0, prefix=""):
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < 0.6).astype(int)
    kinds = np.where(labels == 0, "normal", np.where(generator.random(n) < 0.5, "bacteria", "virus"))
    scores = 1 / (1 + np.exp(-(3 * generator.normal(2 * labels - 1, 1.2) + shift)))
    names = np.array([f"{prefix}{i}.jpeg" for i in range(n)])
    return Predictions(names, np.array([f"{prefix}{i // 2}" for i in range(n)]), kinds, labels, scores)


@pytest.fixture
def tables():
    return {"validation": split(200, 0, prefix="v"), "test": split(120, 1, shift=2.0, prefix="t")}


def test_metrics_json_has_every_figure_of_both_splits(tables):
    found = evaluate_splits(tables, "youden", seed=0, resamples=50)
    assert set(found["splits"]) == {"validation", "test"}
    for figures in found["splits"].values():
        assert set(figures) >= NAMES
        for name, limits in figures["intervals"].items():
            assert limits[0] <= figures[name] <= limits[1] or name == "ece"  # a resampled ECE is biased upwards
        assert set(figures["by_subtype"]) == {"bacteria", "virus"}
    assert found["operating_point"]["chosen_on"] == "validation"
    assert found["operating_point"]["rule"] == "youden"
    assert found["bootstrap"]["unit"] == "patient"
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_changing_test_changes_neither_threshold_nor_temperature_nor_validation(tables):
    before = evaluate_splits(tables, "sensitivity>=0.9", seed=0, resamples=20)
    generator = np.random.default_rng(9)
    changed = Predictions(
        tables["test"].filenames,
        tables["test"].patients,
        tables["test"].subtypes,
        1 - tables["test"].labels,
        generator.random(len(tables["test"])),
    )
    after = evaluate_splits({**tables, "test": changed}, "sensitivity>=0.9", seed=0, resamples=20)
    without = evaluate_splits({"validation": tables["validation"]}, "sensitivity>=0.9", seed=0, resamples=20)
    for other in (after, without):
        for name in ("operating_point", "temperature", "calibration"):
            assert other[name] == before[name]
        assert other["splits"]["validation"] == before["splits"]["validation"]
    assert after["splits"]["test"] != before["splits"]["test"]


def test_changing_validation_does_change_the_choice(tables):
    """The other half of the proof above: the choice is not a constant."""
    before = decide(tables["validation"], "youden")
    after = decide(split(200, 0, shift=3.0), "youden")
    assert before.operating_point.threshold != after.operating_point.threshold
    assert before.temperature != after.temperature


def test_the_threshold_is_for_probabilities_after_the_temperature(tables):
    found = evaluate_splits(tables, "sensitivity>=0.95", seed=0, resamples=20)
    table, point = tables["validation"], found["operating_point"]
    after = probabilities_at(logits(table.probabilities), found["temperature"])
    called = after >= point["threshold"]
    assert called[table.labels == 1].mean() == pytest.approx(point["sensitivity"])
    assert found["splits"]["validation"]["sensitivity"] == pytest.approx(point["sensitivity"])
    assert point["sensitivity"] >= 0.95
    assert found["temperature"] > 1.2  # the scores were made three times too sure
    assert found["calibration"]["log_loss_after"] < found["calibration"]["log_loss_before"]


@pytest.mark.parametrize("with_bias", [False, True])
def test_figures_can_be_recomputed_from_the_file(tables, tmp_path, with_bias):
    found = evaluate_splits(tables, "youden", seed=3, resamples=30, with_bias=with_bias)
    choice = decide(tables["validation"], "youden", with_bias=with_bias)
    assert bool(choice.bias) == with_bias
    write_csv(tmp_path / "p.csv", {name: calibrated(t, choice.temperature, choice.bias) for name, t in tables.items()})
    assert score_splits(read_csv(tmp_path / "p.csv"), choice, seed=3, resamples=30) == found


def test_a_recorded_choice_is_taken_up_unchanged(tables):
    found = evaluate_splits(tables, "youden", seed=3, resamples=30, with_bias=True)
    assert choice_from_json(json.loads(json.dumps(found))) == decide(tables["validation"], "youden", with_bias=True)
    del found["bias"]
    assert choice_from_json(found).bias == 0.0
    with pytest.raises(InputError, match="evaluate again"):
        choice_from_json({"operating_point": {"threshold": 0.5}})
    with pytest.raises(InputError, match="chosen on test"):
        choice_from_json({**found, "operating_point": {**found["operating_point"], "chosen_on": "test"}})


def test_predictive_values_fall_with_prevalence(tables):
    rows = evaluate_splits(tables, "youden", seed=0, resamples=30)["splits"]["test"]["predictive_values"]
    assert [row["prevalence"] for row in rows] == [0.01, 0.05, 0.1, 0.2, 0.5]
    precisions = [row["precision"] for row in rows]
    assert precisions == sorted(precisions)
    assert all(row["intervals"]["precision"][0] <= row["precision"] <= row["intervals"]["precision"][1] for row in rows)


def test_a_test_split_of_one_class_is_scored_but_a_validation_of_one_class_is_refused(tables):
    table = tables["test"]
    rows = np.flatnonzero(table.labels == 1)
    columns = (table.filenames, table.patients, table.subtypes, table.labels, table.probabilities)
    single = Predictions(*[column[rows] for column in columns])
    found = evaluate_splits({**tables, "test": single}, "youden", seed=0, resamples=20)["splits"]["test"]
    assert found["auroc"] is None
    assert found["intervals"]["auroc"] is None
    assert found["predictive_values"] == []
    with pytest.raises(InputError, match="validation split has images of one class only"):
        evaluate_splits({"validation": single}, "youden", seed=0, resamples=20)


def test_without_validation_nothing_can_be_chosen(tables):
    with pytest.raises(InputError, match="chosen on validation"):
        evaluate_splits({"test": tables["test"]}, "youden", seed=0, resamples=20)
    with pytest.raises(InputError, match="1 or more, not 0"):
        evaluate_splits(tables, "youden", seed=0, resamples=0)


def test_threshold_is_chosen_on_the_views_and_calibration_on_validation_alone():
    rng = np.random.default_rng(5)
    labels = np.arange(400) % 2
    names = np.array([f"image{i}" for i in range(400)])
    scores = rng.normal(2.0 * labels - 1.0, 1.0)
    plain = Predictions(names, names, names, labels, 1 / (1 + np.exp(-scores)))
    moved = plain.with_probabilities(1 / (1 + np.exp(-(scores + 2.0))))
    alone, seen = decide(plain, "youden"), decide(plain, "youden", views=moved)
    assert seen.temperature == alone.temperature
    assert seen.operating_point.threshold > alone.operating_point.threshold + 0.1
