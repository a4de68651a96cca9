"""From predictions to metrics.json: what is decided on validation, and what every split is scored by.

That test is not opened before the decision is locked is proven in tests/pipeline/stages/test_judge.py.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.calibration import (
    expected_calibration_error,
    logits,
    negative_log_likelihood,
    probabilities_at,
)
from pipeline.evaluation.intervals import intervals, percentile
from pipeline.evaluation.metrics import by_subtype, figures, predictive_values
from pipeline.evaluation.predictions import Predictions, read_csv, write_csv
from pipeline.evaluation.scoring import Decision, calibrated, decide, score_split, score_splits
from pneumo_tfds.program.errors import InputError

PATH = Path("metrics.json")
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


def scored(tables, decision, resamples=20, seed=0):
    """The content of metrics.json for tables of the network's own probabilities."""
    return score_splits(
        {name: calibrated(table, decision) for name, table in tables.items()}, decision, seed, resamples
    )


@pytest.fixture
def found(tables):
    return scored(tables, decide(tables["validation"], "youden", with_bias=True))


def test_metrics_json_has_every_figure_of_both_splits(tables):
    found = scored(tables, decide(tables["validation"], "youden"), resamples=50)
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


def test_another_test_split_changes_the_figures_of_test_alone(tables):
    decision = decide(tables["validation"], "sensitivity>=0.9")
    before = scored(tables, decision)
    test = tables["test"]
    other = Predictions(
        test.filenames, test.patients, test.subtypes, 1 - test.labels, np.random.default_rng(9).random(len(test))
    )
    after = scored({**tables, "test": other}, decision)
    assert after["splits"].pop("test") != before["splits"].pop("test")
    assert after == before == scored({"validation": tables["validation"]}, decision)


def test_another_validation_split_changes_the_decision(tables):
    before, after = decide(tables["validation"], "youden"), decide(split(200, 0, shift=3.0), "youden")
    assert before.operating_point.threshold != after.operating_point.threshold
    assert before.temperature != after.temperature


def test_the_threshold_is_for_probabilities_after_the_temperature(tables):
    table = tables["validation"]
    decision = decide(table, "sensitivity>=0.95")
    found, point = scored(tables, decision), decision.operating_point
    called = probabilities_at(logits(table.probabilities), decision.temperature) >= point.threshold
    assert called[table.labels == 1].mean() == pytest.approx(point.sensitivity)
    assert found["splits"]["validation"]["sensitivity"] == pytest.approx(point.sensitivity)
    assert point.sensitivity >= 0.95
    assert decision.temperature > 1.2  # the scores were made three times too confident
    assert decision.calibration["log_loss_after"] < decision.calibration["log_loss_before"]


@pytest.mark.parametrize("with_bias", [False, True])
def test_figures_can_be_recomputed_from_the_file(tables, tmp_path, with_bias):
    decision = decide(tables["validation"], "youden", with_bias=with_bias)
    assert bool(decision.bias) == with_bias
    write_csv(tmp_path / "p.csv", {name: calibrated(table, decision) for name, table in tables.items()})
    assert score_splits(read_csv(tmp_path / "p.csv"), decision, seed=3, resamples=30) == scored(tables, decision, 30, 3)


def test_a_recorded_decision_is_read_back_unchanged(tables, found):
    assert Decision.from_json(json.loads(json.dumps(found)), PATH) == decide(
        tables["validation"], "youden", with_bias=True
    )
    del found["bias"]
    assert Decision.from_json(found, PATH).bias == 0.0
    with pytest.raises(InputError, match="evaluate the run again"):
        Decision.from_json({"operating_point": {"threshold": 0.5}}, PATH)
    with pytest.raises(InputError, match="chosen on test"):
        Decision.from_json({**found, "operating_point": {**found["operating_point"], "chosen_on": "test"}}, PATH)


@pytest.mark.parametrize("part", ["threshold", "rule", "sensitivity"])
def test_a_decision_that_lacks_a_part_or_has_a_broken_one_is_refused(found, part):
    point = {name: value for name, value in found["operating_point"].items() if name != part}
    broken = [{**found, "operating_point": point}, {**found, "temperature": "warm"}, {**found, "calibration": None}]
    broken += [{**found, "bias": []}, {name: value for name, value in found.items() if name != "temperature"}]
    for content in broken:
        with pytest.raises(InputError, match=r"metrics\.json lacks a full operating point or temperature \(.+\)"):
            Decision.from_json(content, PATH)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("threshold", (-0.01, 1.01, float("nan"), "0.5", None)),
        ("temperature", (0.0, -1.0, float("nan"), float("inf"))),
        ("bias", (float("nan"), float("inf"), -float("inf"))),
    ],
)
def test_a_decision_out_of_range_is_refused_and_one_at_the_edge_is_not(found, name, values):
    def changed(value):
        if name == "threshold":
            return {**found, "operating_point": {**found["operating_point"], name: value}}
        return {**found, name: value}

    for value in values:
        with pytest.raises(InputError, match="lacks a full operating point or temperature") as refused:
            Decision.from_json(changed(value), PATH)
        if isinstance(value, float):
            assert f"{name} {value}" in str(refused.value)
    for value in (0.0, 1.0) if name == "threshold" else (1e-3, 40.0):
        decision = Decision.from_json(changed(value), PATH)
        assert value in (decision.operating_point.threshold, decision.temperature, decision.bias)


@pytest.mark.parametrize("with_bias", [False, True])
def test_calibration_is_reported_before_and_after(tables, with_bias):
    table = tables["validation"]
    decision = decide(table, "youden", with_bias=with_bias)
    scores, after = logits(table.probabilities), calibrated(table, decision)
    assert decision.calibration == pytest.approx(
        {
            "log_loss_before": negative_log_likelihood(table.labels, scores),
            "log_loss_after": negative_log_likelihood(table.labels, scores, decision.temperature, decision.bias),
            "ece_before": expected_calibration_error(table.labels, table.probabilities),
            "ece_after": expected_calibration_error(table.labels, after.probabilities),
        }
    )
    np.testing.assert_allclose(
        after.probabilities, probabilities_at(scores, decision.temperature, decision.bias), rtol=1e-8
    )


def test_the_score_of_a_split_is_made_of_its_figures_and_intervals(tables):
    table = tables["test"]
    found = score_split(table, 0.4, seed=7, resamples=40)
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
        resampled = predictive_values(values["sensitivity"], values["specificity"], at)
        assert [row["intervals"]["precision"], row["intervals"]["npv"]] == [percentile(sample) for sample in resampled]


@pytest.mark.parametrize(("threshold", "undefined"), [(0.99999, "precision"), (0.0, "npv")])
def test_a_predictive_value_of_nothing_is_none(threshold, undefined):
    """At one threshold nothing is called PNEUMONIA, at the other nothing is called NORMAL."""
    names = np.array([f"{i}" for i in range(20)])
    labels = np.arange(20) % 2
    table = Predictions(names, names, np.where(labels, "virus", "normal"), labels, np.linspace(0.01, 0.99, 20))
    rows = score_split(table, threshold, seed=0, resamples=20)["predictive_values"]
    assert [row[undefined] for row in rows] == [None] * 5
    assert [row["intervals"][undefined] for row in rows] == [None] * 5
    (other,) = {"precision", "npv"} - {undefined}
    right = [row["prevalence"] if other == "precision" else 1 - row["prevalence"] for row in rows]
    assert [row[other] for row in rows] == pytest.approx(right)


def test_predictive_values_without_an_error_are_not_certain():
    """60 NORMAL patients, none called PNEUMONIA: the specificity may be 0.94, and then PPV is far from 1."""
    names, labels = np.arange(120).astype(str), np.repeat([0, 1], 60)
    scores = np.concatenate([np.full(60, 0.1), np.linspace(0.2, 0.9, 60)])
    table = Predictions(names, names, np.where(labels, "virus", "normal"), labels, scores)
    found = score_split(table, 0.5, seed=0, resamples=100)
    (sensitive, most), (specific, one) = (found["intervals"][name] for name in ("sensitivity", "specificity"))
    assert one == 1.0
    assert specific == pytest.approx(0.025 ** (1 / 60))
    for row in found["predictive_values"]:
        at = row["prevalence"]
        low = sensitive * at / (sensitive * at + (1 - specific) * (1 - at))
        assert row["precision"] == 1.0
        assert row["intervals"]["precision"] == pytest.approx([low, 1.0])
        low = specific * (1 - at) / (specific * (1 - at) + (1 - sensitive) * at)
        assert row["intervals"]["npv"] == pytest.approx([low, (1 - at) / (1 - at + (1 - most) * at)])


def test_the_record_says_how_the_intervals_were_made_and_on_which_split(tables):
    decision = decide(tables["validation"], "youden")
    found = scored(tables, decision, resamples=7, seed=5)
    assert found["bootstrap"] == {
        "resamples": 7, "seed": 5, "level": 0.95, "unit": "patient", "method": "percentile",
    }  # fmt: skip
    assert found["calibration"]["fitted_on"] == "validation"
    assert found["bias"] == 0.0
    point = decision.operating_point
    assert (found["temperature"], found["operating_point"]) == (decision.temperature, asdict(point))
    for name, table in tables.items():
        assert found["splits"][name] == score_split(calibrated(table, decision), point.threshold, 5, 7)


def test_predictive_values_fall_with_prevalence(found):
    rows = found["splits"]["test"]["predictive_values"]
    assert [row["prevalence"] for row in rows] == [0.01, 0.05, 0.1, 0.2, 0.5]
    precisions = [row["precision"] for row in rows]
    assert precisions == sorted(precisions)
    assert all(row["intervals"]["precision"][0] <= row["precision"] <= row["intervals"]["precision"][1] for row in rows)


def test_a_test_split_of_one_class_is_scored_but_a_validation_of_one_class_is_refused(tables):
    single = tables["test"].take(tables["test"].labels == 1)
    found = scored({"test": single}, decide(tables["validation"], "youden"))["splits"]["test"]
    assert found["auroc"] is None
    assert found["intervals"]["auroc"] is None
    assert found["predictive_values"] == []
    with pytest.raises(InputError, match="the validation split has images of one class only"):
        decide(single, "youden")


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
    decision = decide(tables["validation"], "sensitivity>=0.9", with_bias=with_bias, views=views)
    point, after = decision.operating_point, calibrated(views, decision)
    found = figures(after.labels, after.probabilities, point.threshold)
    assert (found["sensitivity"], found["specificity"]) == pytest.approx((point.sensitivity, point.specificity))
    assert point.sensitivity >= 0.9
