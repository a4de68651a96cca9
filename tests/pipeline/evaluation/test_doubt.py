"""Doubt: the guarantee holds on new patients, breaks under a shift, and is refused where it cannot be shown."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest

from pipeline.config.guarantee import Guarantee, candidates
from pipeline.evaluation.doubt import (
    MOST_REFUSED,
    MOST_REFUSED_CHANGED,
    Doubt,
    _predictive_values,
    answer_figures,
    familiarity_threshold,
    four_answers,
    limits,
    patients_in_words,
    upper_bound,
)
from pipeline.evaluation.predictions import Predictions
from pneumo_tfds.program.answers import Limits
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.identifiers import UNKNOWN_PATIENT

WANTED = (Guarantee(0.95, 0.95),)


def cohort(patients, seed, *, shift=0.0, apart=5.0, views=3):
    """Draw a validation set seen through some views: each patient has one or two images that resemble each other."""
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), generator.integers(1, 3, patients))
    labels = (owner % 2).astype(np.int64)
    common = generator.normal(0, 1.2, patients)[owner]
    names, people = np.array([f"i{i}" for i in range(len(owner))]), np.array([f"p{p}" for p in owner])
    kinds = np.where(labels, "virus", "normal")
    tables = []
    for _ in range(views):
        logits = apart * (labels - 0.5) + common + generator.normal(0, 0.8, len(owner)) + shift
        tables.append(Predictions(names, people, kinds, labels, expit(logits)))
    return tables


def predictive_values(tables, found):
    """Return NPV and PPV over all views where half of the patients have pneumonia."""
    labels = np.concatenate([table.labels for table in tables])
    scores = np.concatenate([table.probabilities for table in tables])
    sides = (scores < found.certain_normal_below, scores >= found.certain_pneumonia_from)
    below, above = ([np.mean(side[labels == label]) for label in (0, 1)] for side in sides)
    return below[0] / sum(below), above[1] / sum(above)


def test_guarantee_holds_on_other_patients_in_19_of_20_repeats_and_breaks_under_a_shift():
    held = shifted = 0
    for seed in range(20):
        found = limits(cohort(600, seed), 0.5, WANTED, 0.5)
        assert found.guarantee.startswith("NPV at least 0.95")
        held += min(predictive_values(cohort(4000, 1000 + seed), found)) >= 0.95
        shifted += min(predictive_values(cohort(4000, 2000 + seed, shift=2.0), found)) >= 0.95
    assert held >= 19
    assert shifted <= 2


def test_more_patients_leave_less_uncertain():
    widths = []
    for patients in (1000, 4000):
        found = limits(cohort(patients, 0), 0.5, WANTED, 0.5)
        widths.append(found.certain_pneumonia_from - found.certain_normal_below)
        assert widths[-1] > 0
        assert f"{patients:,} validation patients through 3 views" in found.guarantee
        assert "NPV at least 0.95" in found.guarantee
    assert widths[1] < widths[0]


def test_where_both_guarantees_hold_everywhere_the_limits_are_the_threshold_and_one_half():
    found = limits(cohort(2000, 0, apart=14.0), 0.4, WANTED, 0.5)
    assert found.certain_normal_below == 0.4
    assert found.certain_pneumonia_from == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("threshold", "prevalence", "low", "high"), [
    (0.9, 0.5, 0.5, 0.9), (0.1, 0.5, 0.1, 0.5), (0.5, 0.2, 0.5, 0.8), (0.5, 0.8, 0.2, 0.5),
])  # fmt: skip
def test_no_answer_is_certain_where_most_such_patients_are_of_the_other_kind(threshold, prevalence, low, high):
    """Half of the patients here have pneumonia: what is 0.8 for them is one half where one patient in five has it."""
    found = limits(cohort(2000, 0, apart=14.0), threshold, candidates("npv>=0.6,ppv>=0.6"), prevalence)
    assert found.guaranteed
    assert (found.certain_normal_below, found.certain_pneumonia_from) == pytest.approx((low, high), abs=0.01)


def test_the_best_that_can_be_shown_without_a_guarantee_is_on_the_right_side_of_one_half_too():
    found = limits(cohort(60, 0, apart=3.0), 0.9, candidates("npv>=0.999,ppv>=0.999"), 0.5)
    assert not found.guaranteed
    assert found.certain_normal_below <= 0.5


def test_few_patients_get_a_lower_guarantee_or_none():
    said = limits(cohort(120, 0, apart=9.0), 0.5, candidates("auto"), 0.5).guarantee
    assert "NPV at least 0.9 " in said or "NPV at least 0.8 " in said
    said = limits(cohort(8, 0), 0.3, candidates("auto"), 0.5).guarantee
    assert said.startswith("none: the best that can be shown on 8 validation patients")
    assert said.endswith("; what is no better than guessing is not answered, so no image is NORMAL or PNEUMONIA")
    assert "at these limits" not in said


def test_nothing_is_answered_where_it_may_be_no_better_than_guessing():
    found = limits(cohort(600, 0, apart=0.0), 0.5, candidates("auto"), 0.5)
    assert (found.certain_normal_below, found.certain_pneumonia_from) == (0.0, 1.0)
    assert found.guarantee.startswith("none: the best that can be shown")
    found = limits(cohort(30, 0, apart=9.0), 0.5, candidates("auto"), 0.1)
    assert 0 < found.certain_normal_below <= 0.5, "nine of ten are NORMAL"
    assert found.certain_pneumonia_from == 1.0
    with pytest.raises(InputError, match="decide on more patients, or ask for none"):
        limits(cohort(600, 0, apart=0.0), 0.5, WANTED, 0.5, rule=str(WANTED[0]))


def test_limits_do_not_overrule_the_threshold():
    tables = cohort(2000, 0)
    free = limits(tables, 0.9, (Guarantee(0.6, 0.6),), 0.5)
    found = limits(tables, 0.2, (Guarantee(0.6, 0.6),), 0.5)
    assert found.certain_normal_below == 0.2 < free.certain_normal_below
    assert found.certain_pneumonia_from >= 0.2
    assert "NPV at least 0.6" in found.guarantee
    found = limits(tables, 0.97, (Guarantee(0.6, 0.6),), 0.5)
    assert found.certain_normal_below <= 0.97 <= found.certain_pneumonia_from


def test_threshold_beyond_what_can_be_shown_is_refused():
    with pytest.raises(InputError, match="cannot be shown"):
        limits(cohort(600, 0), 1e-4, WANTED, 0.5, rule=str(WANTED[0]))


def test_a_guarantee_that_cannot_be_shown_is_refused_with_the_best():
    text = "npv>=0.999,ppv>=0.999"
    with pytest.raises(InputError, match=r"cannot be shown on 100 validation patients.*the best is npv>=0\.\d+"):
        limits(cohort(100, 0), 0.5, candidates(text), 0.5, rule=text)
    best = cohort(100, 0)
    with pytest.raises(InputError) as caught:
        limits(best, 0.5, candidates(text), 0.5, rule=text)
    reached = str(caught.value).split("the best is ")[1].split(";")[0]
    limits(best, 0.5, candidates(reached), 0.5, rule=reached)  # what the message names can be had


def test_a_rarer_disease_makes_certain_pneumonia_harder():
    tables = cohort(1000, 0)
    common, rare = (limits(tables, 0.5, (Guarantee(0.8, 0.8),), prevalence) for prevalence in (0.5, 0.1))
    assert rare.certain_pneumonia_from > common.certain_pneumonia_from


def test_images_of_one_patient_count_as_one():
    tables = cohort(60, 0, apart=9.0)
    alone = [Predictions(t.filenames, t.filenames, t.subtypes, t.labels, t.probabilities) for t in tables]
    few, many = (limits(views, 0.5, candidates("auto"), 0.5) for views in (tables, alone))
    assert "60 validation patients" in few.guarantee
    assert f"{len(tables[0])} validation patients" in many.guarantee


@pytest.mark.parametrize(("seen", "count"), [(0, 30), (0, 205), (3, 60), (20, 40)])
def test_bound_is_at_least_the_exact_binomial_one(seen, count):
    exact = binomtest(seen, count, alternative="less").proportion_ci(0.95, method="exact").high
    found = upper_bound(seen / count, count, 0.05)
    assert found >= exact - 1e-9
    if not seen:
        assert found == pytest.approx(exact)


def test_bound_of_certainty_is_one():
    assert upper_bound(1.0, 10, 0.05) == 1.0


def test_share_that_is_refused_is_bounded_in_each_view():
    generator = np.random.default_rng(0)
    plain, changed = generator.uniform(0, 1, 2000), generator.uniform(0, 1, 2000) ** 2
    threshold = familiarity_threshold([plain, changed])
    assert np.mean(plain < threshold) <= MOST_REFUSED
    assert np.mean(changed < threshold) == pytest.approx(MOST_REFUSED_CHANGED, abs=0.001)
    assert familiarity_threshold([plain]) == pytest.approx(MOST_REFUSED, abs=0.005)


@pytest.mark.parametrize("count", [20, 40, 408, 852])
def test_no_more_are_refused_than_allowed_however_few_or_alike_they_are(count):
    generator = np.random.default_rng(count)
    plain, changed = generator.uniform(0, 1, (2, count))
    tied = np.where(plain < 0.05, 0.0123456, plain)
    for first in (plain, tied):
        threshold = familiarity_threshold([first, changed])
        assert np.mean(first < threshold) <= MOST_REFUSED
        assert np.mean(changed < threshold) <= MOST_REFUSED_CHANGED


DOUBT = Doubt(0.2, 0.8, 0.02, guarantee="as an example")


def table(probabilities, labels, familiarity):
    names = np.array([f"i{i}" for i in range(len(labels))])
    return Predictions(names, names, np.where(labels, "virus", "normal"), np.array(labels), probabilities, familiarity)


def test_four_answers():
    found = table(np.array([0.1, 0.2, 0.8, 0.79, 0.99]), [0, 0, 1, 1, 1], np.array([0.5, 0.5, 0.02, 0.5, 0.019]))
    assert four_answers(found, DOUBT).tolist() == ["NORMAL", "UNCERTAIN", "PNEUMONIA", "UNCERTAIN", "UNSUITABLE"]


def test_nothing_is_unsuitable_where_the_familiarity_is_not_known():
    found = table(np.array([0.1, 0.9]), [0, 1], np.full(2, np.nan))
    assert four_answers(found, Limits(0.2, 0.8)).tolist() == ["NORMAL", "PNEUMONIA"]
    assert four_answers(found, DOUBT).tolist() == ["NORMAL", "PNEUMONIA"]


def test_figures_are_those_of_certain_answers_alone():
    found = answer_figures(
        table(np.array([0.1, 0.1, 0.9, 0.5, 0.9]), [0, 1, 1, 0, 0], np.array([1, 1, 1, 1, 0])), DOUBT
    )
    assert found["answers"]["NORMAL"] == {"NORMAL": 1, "PNEUMONIA": 1}
    assert found["answers"]["UNCERTAIN"] == {"NORMAL": 1, "PNEUMONIA": 0}
    assert found["answers"]["UNSUITABLE"] == {"NORMAL": 1, "PNEUMONIA": 0}
    assert found["share"] == pytest.approx(3 / 5)
    assert (found["accuracy"], found["npv"], found["ppv"]) == pytest.approx((2 / 3, 1 / 2, 1))


def test_without_a_certain_answer_there_are_no_figures():
    found = answer_figures(table(np.array([0.5, 0.5]), [0, 1], np.ones(2)), DOUBT)
    assert found["share"] == 0
    assert found["accuracy"] is found["npv"] is None


@pytest.mark.parametrize(
    "text", ["", "npv>=0.9", "npv>=0.9,npv>=0.9", "npv>=0.4,ppv>=0.9", "npv>=1,ppv>=0.9", "ppv=0.9"]
)
def test_unreadable_guarantee_is_refused(text):
    with pytest.raises(InputError, match="the guarantee"):
        candidates(text)


def test_guarantee_reads_what_it_writes():
    assert candidates("PPV >= 0.9, npv>=0.95") == (Guarantee(0.95, 0.9),)
    assert candidates(str(Guarantee(0.95, 0.9))) == (Guarantee(0.95, 0.9),)
    assert candidates("none") == ()


@pytest.mark.parametrize(
    "wrong", [{"certain_normal_below": 0.9}, {"certain_pneumonia_from": 1.5}, {"familiarity_threshold": -1}]
)
def test_damaged_record_is_refused(wrong):
    with pytest.raises(ValueError, match="in 0 to 1"):
        Doubt.from_json(vars(DOUBT) | wrong)


@pytest.mark.parametrize("name", sorted(vars(DOUBT)))
def test_incomplete_record_is_refused(name):
    with pytest.raises(TypeError, match=name):
        Doubt.from_json({key: value for key, value in vars(DOUBT).items() if key != name})


def test_refused_images_get_no_answer_that_could_be_right():
    """Half of the images are refused, and these are the easy ones: the guarantee has to hold for the others."""
    broken = 0
    for seed in range(10):
        decided, new = (hard_to_know(cohort(800, seed + start, apart=6.0, views=1)) for start in (0, 1000))
        found = limits(decided, 0.5, WANTED, 0.5, refused_below=0.5)
        assert found.familiarity_threshold == 0.5
        answered = [table.take(table.familiarity >= 0.5) for table in new]
        broken += min(predictive_values(answered, found)) < 0.95
    assert broken <= 1


def hard_to_know(tables):
    """The same, with the familiarity above one half only for the half whose score is nearest to the wrong side."""
    found = []
    for table in tables:
        sure = np.abs(table.probabilities - 0.5)
        wrong = (table.probabilities > 0.5) != table.labels
        found.append(replace(table, familiarity=np.where(wrong | (sure < np.median(sure)), 0.9, 0.1)))
    return found


def test_guarantee_tells_patients_from_images_of_unknown_patients():
    (table,) = cohort(40, 0, views=1)
    unknown = np.array([f"{UNKNOWN_PATIENT}{number}" for number in range(len(table))])
    assert patients_in_words(table, "local") == "40 local patients"
    images = f"{len(table)} images of unknown patients, each counted as one"
    assert patients_in_words(replace(table, patients=unknown), "local") == images
    half = np.where(np.arange(len(table)) < len(table) // 2, table.patients, unknown)
    assert re.fullmatch(
        r"\d+ local patients and \d+ images of unknown.*", patients_in_words(replace(table, patients=half), "local")
    )


def test_the_documentation_says_how_many_patients_a_guarantee_needs():
    """The table of `Is my data enough?`: the fewest patients of each class at which the bound reaches the value."""
    page = Path(__file__).parents[3] / "docs" / "how-to" / "bring-your-own-xrays.md"
    rows = re.findall(r"^\| (\d+) %.*?\|(.*)\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [row[0] for row in rows] == ["80", "90", "95"]
    answered = ((1.0, 0.0), (0.5, 0.0), (0.98, 0.02), (0.95, 0.05))
    for percent, cells in rows:
        for cell, (right, wrong) in zip(cells.split("|"), answered, strict=True):
            rates = [np.array([right]), np.array([wrong])]

            def enough(count, rates=rates, least=int(percent) / 100):
                return bool(_predictive_values(rates, [count, count], 0.5)[0] >= least)

            if cell.strip().isdecimal():
                assert enough(int(cell))
                assert not enough(int(cell) - 1)
            else:
                assert cell.strip() == "cannot be shown"
                assert not enough(10**6)
