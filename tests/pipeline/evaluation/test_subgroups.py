"""Figures of groups, and gaps that are named only where they are more than chance."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from pipeline.config import EvaluationConfig
from pipeline.evaluation.doubt import Doubt
from pipeline.evaluation.metrics import figures
from pipeline.evaluation.operating_point import OperatingPoint
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.scoring import Decision
from pipeline.evaluation.subgroups import bands, by_groups, difference
from pneumo_tfds.program.errors import InputError

DECISION = Decision(
    1.0, OperatingPoint(0.5, "youden", "validation", 0.9, 0.9), {}, 0.0, Doubt(0.4, 0.6, 0.3, guarantee="none")
)
SETTINGS = EvaluationConfig(resamples=200)


def cohort(seed, count=300, weaker=0.0):
    """Patients of two or three images each; those of group `b` are told apart less well by `weaker`."""
    generator = np.random.default_rng(seed)
    patients = np.arange(count) // 3 if count > 10 else np.arange(count)
    labels = patients % 2
    groups = np.where(generator.permutation(patients.max() + 1)[patients] % 3 == 0, "b", "a")
    strength = np.where(groups == "b", 1.5 - weaker, 1.5)
    scores = generator.normal(strength * (2 * labels - 1)) + generator.normal(0, 0.5, patients.max() + 1)[patients]
    names = np.array([f"{i}.png" for i in range(count)])
    kinds = np.where(labels == 1, "unknown", "normal")
    table = Predictions(names, patients.astype(str), kinds, labels, 1 / (1 + np.exp(-scores)), generator.random(count))
    return table, groups.tolist()


def named(found):
    return [gap for rows in found.values() for row in rows for gap in row["gaps"].values() if gap["p_value"] < 0.05]


def test_rows_are_the_figures_of_each_group():
    table, groups = cohort(0)
    (rows,) = by_groups(table, {"site": groups}, DECISION, SETTINGS).values()
    assert [row["group"] for row in rows] == ["a", "b"]
    for row in rows:
        part = table.take(np.array(groups) == row["group"])
        expected = figures(part.labels, part.probabilities, 0.5)
        assert {name: row[name] for name in ("n", "auroc", "sensitivity", "specificity", "prevalence")} == {
            name: expected[name] for name in ("n", "auroc", "sensitivity", "specificity", "prevalence")
        }
        assert row["mean_probability"] == part.probabilities.mean()
        assert row["refused"] == np.mean(part.familiarity < 0.3)
    assert set(rows[0]["gaps"]) == {"auroc", "sensitivity", "specificity"}
    assert rows[1]["gaps"] == {}  # the same as of the first


def test_gaps_of_alike_groups_are_rarely_named_and_a_real_one_is():
    columns = ["site", "device", "noise"]
    alike = 0
    for seed in range(20):
        table, groups = cohort(seed)
        shuffled = np.random.default_rng(seed).integers(0, 4, 1000)[table.patients.astype(int)].astype(str).tolist()
        alike += bool(
            named(by_groups(table, dict(zip(columns, (groups, shuffled, groups), strict=True)), DECISION, SETTINGS))
        )
    assert alike <= 3
    table, groups = cohort(1, weaker=1.5)
    gaps = named(by_groups(table, {"site": groups}, DECISION, SETTINGS))
    assert gaps
    assert all(gap["difference"] > 0 and gap["interval"][0] > 0 for gap in gaps)  # of group a from the others


def test_p_values_are_those_of_all_gaps_together():
    table, groups = cohort(3, weaker=0.7)
    alone = by_groups(table, {"site": groups}, DECISION, SETTINGS)["site"][0]["gaps"]["auroc"]["p_value"]
    other = np.random.default_rng(0).integers(0, 5, 1000)[table.patients.astype(int)].astype(str).tolist()
    among = by_groups(table, {"site": groups, "x": other}, DECISION, SETTINGS)["site"][0]["gaps"]["auroc"]["p_value"]
    assert 0 < alone < among


def test_few_patients_are_not_compared():
    table, groups = cohort(0)
    few = np.where(table.patients.astype(int) < 18, "few", groups).tolist()  # 9 patients of each class
    rows = {row["group"]: row for row in by_groups(table, {"site": few}, DECISION, SETTINGS)["site"]}
    assert rows["few"]["gaps"] == {}
    assert set(rows["a"]["gaps"]) == {"auroc", "sensitivity", "specificity"}


def test_a_difference_is_squared_and_added_and_agrees_with_its_p_value():
    first = {"auroc": 0.7, "intervals": {"auroc": [0.6, 0.78]}}
    second = {"auroc": 0.9, "intervals": {"auroc": [0.85, 0.94]}}
    gap = difference(first, second, "auroc")
    assert gap["difference"] == pytest.approx(-0.2)
    assert gap["interval"] == pytest.approx([-0.2 - math.hypot(0.1, 0.04), -0.2 + math.hypot(0.08, 0.05)])
    assert gap["p_value"] < 0.05
    at_zero = {"auroc": 0.9 - math.hypot(0.08, 0.05), "intervals": {}}
    at_zero["intervals"]["auroc"] = [at_zero["auroc"] - 0.1, at_zero["auroc"] + 0.08]
    found = difference(at_zero, second, "auroc")
    assert found["interval"][1] == pytest.approx(0)
    assert found["p_value"] == pytest.approx(0.05)
    assert difference(first, {"auroc": None, "intervals": {"auroc": None}}, "auroc") is None


def test_a_small_group_near_one_is_not_taken_as_known_exactly():
    """A group of 12 + 12 patients and 100 + 100 of the same distribution, with an AUROC of 0.99 or so."""
    generator = np.random.default_rng(0)
    false_alarms, perfect = 0, 0
    for _ in range(20):
        labels = np.concatenate([np.repeat([0, 1], 12), np.repeat([0, 1], 100)])
        names = np.arange(len(labels)).astype(str)
        scores = 1 / (1 + np.exp(-generator.normal(3.3 * labels - 1.65)))
        table = Predictions(names, names, np.where(labels, "unknown", "normal"), labels, scores)
        (rows,) = by_groups(
            table, {"site": ["a"] * 24 + ["b"] * 200}, replace(DECISION, doubt=None), EvaluationConfig(resamples=100)
        ).values()
        false_alarms += any(gap["p_value"] < 0.05 for gap in rows[0]["gaps"].values())
        perfect += rows[0]["auroc"] == 1
    assert perfect > 2
    assert false_alarms <= 1  # an interval of [1, 1] named each perfect group


def test_a_figure_without_width_claims_no_difference():
    """As a run of an earlier version recorded an AUROC of 1."""
    second = {"auroc": 0.9, "intervals": {"auroc": [0.85, 0.94]}}
    assert difference({"auroc": 1.0, "intervals": {"auroc": [1.0, 1.0]}}, second, "auroc") is None
    counts = {"patients_by_class": {"NORMAL": 12, "PNEUMONIA": 40}}
    known = difference(counts | {"auroc": 1.0, "intervals": {"auroc": [0.735, 1.0]}}, second, "auroc")
    assert known["p_value"] > 0.1


def test_the_bootstrap_of_few_patients_is_widened_to_wilsons():
    """One of 144 pairs is ranked wrongly: the resamples of 12 patients hardly see it."""
    first = {"auroc": 143 / 144, "intervals": {"auroc": [0.97, 1.0]}}
    second = {"auroc": 0.95, "intervals": {"auroc": [0.93, 0.96]}}
    assert difference(first, second, "auroc")["p_value"] < 0.05
    counts = {"patients_by_class": {"NORMAL": 12, "PNEUMONIA": 40}}
    wide = difference(counts | first, second, "auroc")
    low = binomtest(12, 12).proportion_ci(method="wilson").low  # of 12 rightly in 12, a little above that of 143 in 144
    assert wide["interval"][0] <= first["auroc"] - second["auroc"] - (first["auroc"] - low)
    assert wide["p_value"] > 0.3


@pytest.mark.parametrize(
    ("column", "cells", "groups"),
    [
        ("age", ["7", "12", "", "71"], ["0 to 9 years", "10 to 19 years", "not told", "70 to 79 years"]),
        ("PatientAge", ["008M", "047Y"], ["0 to 9 years", "40 to 49 years"]),
        ("stage", ["1", "2"], ["1", "2"]),
        ("age_months", ["24", "7"], ["24", "7"]),
        ("Age (days)", ["24", "7"], ["24", "7"]),
        ("AgeInWeeks", ["24", "7"], ["24", "7"]),
        ("age_at_exam_months", ["24", "7"], ["24", "7"]),
        ("age_at_exam_day", ["24", "7"], ["20 to 29 years", "0 to 9 years"]),
        ("today_age", ["24", "7"], ["20 to 29 years", "0 to 9 years"]),
        ("age", ["411", "7", "119"], ["over 120, so hardly years", "0 to 9 years", "110 to 119 years"]),
        ("sex", ["F", "M", ""], ["F", "M", "not told"]),
        ("age", ["old", "7"], ["old", "7"]),
        (
            "age",
            [*map(str, range(30)), "NA", "-"],
            [*["0 to 9 years"] * 10, *["10 to 19 years"] * 10, *["20 to 29 years"] * 10, "not told", "not told"],
        ),
    ],
)
def test_ages_are_decades_and_words_are_groups(column, cells, groups):
    assert bands(column, cells).tolist() == groups


def test_other_numbers_are_taken_in_quarters():
    found = bands("dose", [str(number) for number in range(1, 101)])
    names, counts = np.unique(found, return_counts=True)
    assert len(names) == 4
    assert set(counts.tolist()) <= {24, 25, 26}


def test_a_column_that_names_images_is_refused():
    with pytest.raises(InputError, match="--by file: it has 30 values, over 20"):
        bands("file", [f"image{i}" for i in range(30)])
