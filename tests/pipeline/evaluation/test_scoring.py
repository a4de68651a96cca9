"""From predictions to metrics.json: what is chosen, on what, and that test is never looked at."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.evaluation.calibration import (
    expected_calibration_error,
    logits,
    negative_log_likelihood,
    probabilities_at,
)
from pipeline.evaluation.intervals import intervals, predictive_intervals
from pipeline.evaluation.metrics import by_subtype, figures, predictive_values
from pipeline.evaluation.predictions import Predictions, read_csv, write_csv
from pipeline.evaluation.scoring import calibrated, choice_from_json, decide, evaluate_splits, score, score_splits
from pneumo_tfds.program.errors import InputError

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
    for part in found["splits"].values():
        assert set(part) >= NAMES
        for name, limits in part["intervals"].items():
            assert limits[0] <= part[name] <= limits[1] or name == "ece"  # a resampled ECE is biased upwards
        assert set(part["by_subtype"]) == {"bacteria", "virus"}
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


@pytest.mark.parametrize("part", ["threshold", "rule", "sensitivity"])
def test_a_choice_that_lacks_a_part_or_has_a_broken_one_is_refused(tables, part):
    found = evaluate_splits(tables, "youden", seed=3, resamples=5)
    point = {name: value for name, value in found["operating_point"].items() if name != part}
    broken = [{**found, "operating_point": point}, {**found, "temperature": "warm"}, {**found, "calibration": None}]
    broken += [{**found, "bias": []}, {name: value for name, value in found.items() if name != "temperature"}]
    for content in broken:
        with pytest.raises(
            InputError, match=r"metrics\.json lacks a full operating point or temperature \(.+\); evaluate"
        ):
            choice_from_json(content)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("threshold", (-0.01, 1.01, float("nan"), "0.5", None)),
        ("temperature", (0.0, -1.0, float("nan"), float("inf"))),
        ("bias", (float("nan"), float("inf"), -float("inf"))),
    ],
)
def test_a_choice_out_of_range_is_refused_and_one_at_the_edge_is_not(tables, name, values):
    found = evaluate_splits(tables, "youden", seed=3, resamples=5)

    def changed(value):
        if name == "threshold":
            return {**found, "operating_point": {**found["operating_point"], name: value}}
        return {**found, name: value}

    for value in values:
        with pytest.raises(InputError, match="lacks a full operating point or temperature") as refused:
            choice_from_json(changed(value))
        if isinstance(value, float):
            assert f"{name} {value}" in str(refused.value)
    for value in (0.0, 1.0) if name == "threshold" else (1e-3, 40.0):
        choice = choice_from_json(changed(value))
        assert value in (choice.operating_point.threshold, choice.temperature, choice.bias)


@pytest.mark.parametrize("with_bias", [False, True])
def test_calibration_is_reported_before_and_after(tables, with_bias):
    table = tables["validation"]
    choice = decide(table, "youden", with_bias=with_bias)
    scores, after = logits(table.probabilities), calibrated(table, choice.temperature, choice.bias)
    assert choice.calibration == pytest.approx(
        {
            "log_loss_before": negative_log_likelihood(table.labels, scores),
            "log_loss_after": negative_log_likelihood(table.labels, scores, choice.temperature, choice.bias),
            "ece_before": expected_calibration_error(table.labels, table.probabilities),
            "ece_after": expected_calibration_error(table.labels, after.probabilities),
        }
    )
    np.testing.assert_allclose(
        after.probabilities, probabilities_at(scores, choice.temperature, choice.bias), rtol=1e-8
    )


def test_a_splits_score_is_put_together_from_its_figures_and_intervals(tables):
    table = tables["test"]
    found = score(table, 0.4, seed=7, resamples=40)
    expected = figures(table.labels, table.probabilities, 0.4)
    assert {name: found[name] for name in expected} == expected
    assert found["patients"] == 60  # of two images each
    kinds = by_subtype(table.labels, table.probabilities, table.subtypes, 0.4)
    point = expected | {f"sensitivity:{kind}": entry["sensitivity"] for kind, entry in kinds.items()}
    limits, values = intervals(table, 0.4, point, 40, seed=7)
    assert found["by_subtype"] == {
        kind: {**entry, "interval": limits.pop(f"sensitivity:{kind}")} for kind, entry in kinds.items()
    }
    assert found["intervals"] == limits
    both = np.array(expected["sensitivity"]), np.array(expected["specificity"])
    for row in found["predictive_values"]:
        at = row["prevalence"]
        assert (row["precision"], row["npv"]) == pytest.approx(predictive_values(*both, at))
        assert (row["intervals"]["precision"], row["intervals"]["npv"]) == predictive_intervals(values, at)


@pytest.mark.parametrize(("threshold", "undefined"), [(0.99999, "precision"), (0.0, "npv")])
def test_a_predictive_value_of_nothing_is_none(threshold, undefined):
    """At one threshold nothing is called PNEUMONIA, at the other nothing is called NORMAL."""
    names = np.array([f"{i}" for i in range(20)])
    labels = np.arange(20) % 2
    table = Predictions(names, names, np.where(labels, "virus", "normal"), labels, np.linspace(0.01, 0.99, 20))
    rows = score(table, threshold, seed=0, resamples=20)["predictive_values"]
    assert [row[undefined] for row in rows] == [None] * 5
    assert [row["intervals"][undefined] for row in rows] == [None] * 5
    (other,) = {"precision", "npv"} - {undefined}
    right = [row["prevalence"] if other == "precision" else 1 - row["prevalence"] for row in rows]
    assert [row[other] for row in rows] == pytest.approx(right)


def test_how_the_intervals_were_made_and_on_what_is_on_record(tables):
    found = evaluate_splits(tables, "youden", seed=5, resamples=7)
    assert found["bootstrap"] == {
        "resamples": 7, "seed": 5, "level": 0.95, "unit": "patient", "method": "percentile",
    }  # fmt: skip
    assert found["calibration"]["fitted_on"] == "validation"
    assert found["bias"] == 0.0
    choice = decide(tables["validation"], "youden")
    assert (found["temperature"], found["operating_point"]) == (choice.temperature, choice.operating_point.as_json())
    for name, table in tables.items():
        point = choice.operating_point
        assert found["splits"][name] == score(calibrated(table, choice.temperature), point.threshold, 5, 7)


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
    with pytest.raises(InputError) as refused:
        evaluate_splits({"validation": single}, "youden", seed=0, resamples=20)
    assert str(refused.value) == (
        "the validation split has images of one class only; calibration and threshold need both"
    )


def test_without_validation_nothing_can_be_chosen(tables):
    with pytest.raises(InputError, match=r"chosen on validation, but there are predictions only for \['test'\]"):
        evaluate_splits({"test": tables["test"]}, "youden", seed=0, resamples=20)
    with pytest.raises(InputError, match="the number of bootstrap resamples must be 1 or more, not 0"):
        evaluate_splits(tables, "youden", seed=0, resamples=0)
    assert evaluate_splits(tables, "youden", seed=0, resamples=1)["bootstrap"]["resamples"] == 1


def test_threshold_is_chosen_on_the_views_and_calibration_on_validation_alone():
    rng = np.random.default_rng(5)
    labels = np.arange(400) % 2
    names = np.array([f"image{i}" for i in range(400)])
    scores = rng.normal(2.0 * labels - 1.0, 1.0)
    plain = Predictions(names, names, names, labels, 1 / (1 + np.exp(-scores)))
    moved = plain.with_probabilities(1 / (1 + np.exp(-(scores + 2.0))))
    alone, seen = decide(plain, "youden"), decide(plain, "youden", views=moved)
    assert (seen.temperature, seen.calibration) == (alone.temperature, alone.calibration)
    assert seen.operating_point.threshold > alone.operating_point.threshold + 0.1


@pytest.mark.parametrize("with_bias", [False, True])
def test_the_threshold_of_views_is_for_probabilities_after_temperature_and_bias(tables, with_bias):
    views = tables["test"]  # any other table
    choice = decide(tables["validation"], "sensitivity>=0.9", with_bias=with_bias, views=views)
    point, after = choice.operating_point, calibrated(views, choice.temperature, choice.bias)
    found = figures(after.labels, after.probabilities, point.threshold)
    assert (found["sensitivity"], found["specificity"]) == pytest.approx((point.sensitivity, point.specificity))
    assert point.sensitivity >= 0.9
