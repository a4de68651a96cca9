"""Tests between two models against direct computations."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.intervals import weights
from pipeline.evaluation.paired_tests import delong, difference_intervals, holm, mcnemar, placements_covariance


def sample(n=60, seed=0, digits=1):
    """Rounded scores, so that there are ties within and between the classes."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(n) % 3 > 0).astype(int)
    shared = generator.normal(size=n)
    first = np.round(1.2 * labels + shared + 0.5 * generator.normal(size=n), digits)
    second = np.round(0.8 * labels + shared + 0.5 * generator.normal(size=n), digits)
    return labels, first, second


def direct_delong(labels, first, second):
    """The definition: every positive against every negative, O(mn)."""
    tens, ones = [], []
    for scores in (first, second):
        x, y = scores[labels == 1][:, None], scores[labels == 0][None, :]
        psi = (x > y) + 0.5 * (x == y)
        tens.append(psi.mean(axis=1))
        ones.append(psi.mean(axis=0))
    m, n = len(tens[0]), len(ones[0])
    s10, s01 = np.cov(tens), np.cov(ones)
    areas = [ten.mean() for ten in tens]
    covariance = s10 / m + s01 / n
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    return areas, covariance, 2 * norm.sf(abs(areas[0] - areas[1]) / error)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [0, 1, 6])
def test_delong_is_the_direct_computation(seed, digits):
    labels, first, second = sample(seed=seed, digits=digits)
    areas, covariance, p_value = direct_delong(labels, first, second)
    fast_areas, fast_covariance = placements_covariance(labels, np.stack([first, second]))
    np.testing.assert_allclose(fast_areas, areas)
    np.testing.assert_allclose(fast_covariance, covariance)
    found = delong(labels, first, second)
    assert found.p_value == pytest.approx(p_value)
    assert (found.first, found.second) == pytest.approx((roc_auc_score(labels, first), roc_auc_score(labels, second)))


def test_delong_changes_sign_but_not_p_when_models_change_places():
    labels, first, second = sample()
    here, there = delong(labels, first, second), delong(labels, second, first)
    assert here.difference == pytest.approx(-there.difference)
    assert here.difference > 0  # the first has the stronger signal
    assert here.p_value == pytest.approx(there.p_value)


def test_delong_of_a_model_and_itself_is_no_difference():
    labels, first, _ = sample()
    found = delong(labels, first, 3 * first + 1)
    assert (found.difference, found.p_value) == (0.0, 1.0)


def test_delong_of_a_difference_without_spread_is_certain():
    """One model ranks every pair rightly and the other every pair wrongly: no sampling error, and no doubt."""
    labels = np.repeat([0, 1], 5)
    right = np.repeat([0.2, 0.8], 5)
    found = delong(labels, right, 1 - right)
    assert (found.first, found.second, found.difference) == (1.0, 0.0, 1.0)
    assert (found.standard_error, found.p_value) == (0.0, 0.0)


def test_delongs_standard_error_is_of_the_difference():
    labels, first, second = sample(seed=1)
    _, covariance, p_value = direct_delong(labels, first, second)
    found = delong(labels, first, second)
    assert found.standard_error**2 == pytest.approx(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert found.difference == pytest.approx(found.first - found.second)
    assert 0 < p_value < 1


def test_delong_keeps_its_promise_under_the_null():
    """Two equally good models: p below 0.05 in about 5 % of 400 samples."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    hits = 0
    for _ in range(400):
        shared = labels + generator.normal(size=120)
        hits += delong(labels, *(shared + generator.normal(size=(2, 120)))).p_value < 0.05
    assert 0.025 < hits / 400 < 0.085


def test_mcnemar_is_a_binomial_test_of_the_discordant_images():
    """Two only the first has right, eight only the second: p = 2 P(at most 2 of 10)."""
    labels = np.array([1] * 6 + [0] * 6)
    truth = labels == 1
    first, second = truth.copy(), truth.copy()
    second[[0, 6]] ^= True
    first[[1, 2, 3, 4, 7, 8, 9, 10]] ^= True
    first[11] ^= True
    second[11] ^= True  # both wrong: no evidence either way
    found = mcnemar(labels, first, second)
    assert (found.only_first_right, found.only_second_right) == (2, 8)
    assert found.p_value == pytest.approx(2 * sum(comb(10, k) for k in range(3)) / 2**10)
    assert mcnemar(labels, truth, truth).p_value == 1.0
    assert mcnemar(labels, second, first) == type(found)(8, 2, found.p_value)
    lone = truth.copy()
    lone[3] ^= True  # the only image that they differ on
    assert mcnemar(labels, truth, lone) == type(found)(1, 0, 1.0)


def test_differences_are_resampled_together_and_by_patient():
    labels, first, second = sample(300, digits=6)
    patients = (np.arange(300) // 3).astype(str)
    called = first > 0.5, second > 0.5
    found = difference_intervals(labels, patients, (first, second), called, 1000, seed=0)
    difference = roc_auc_score(labels, first) - roc_auc_score(labels, second)
    low, high = found["auroc"]
    assert low < difference < high
    # The models share most of their noise, so pairing must beat adding two independent errors.
    _, covariance = placements_covariance(labels, np.stack([first, second]))
    unpaired = 2 * 1.96 * np.sqrt(covariance[0, 0] + covariance[1, 1])
    paired = 2 * 1.96 * np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert (high - low) == pytest.approx(paired, rel=0.25)
    assert (high - low) < 0.8 * unpaired
    swapped = difference_intervals(labels, patients, (second, first), called[::-1], 1000, seed=0)
    assert swapped["accuracy"] == pytest.approx([-found["accuracy"][1], -found["accuracy"][0]])
    same = difference_intervals(labels, patients, (first, first), (called[0], called[0]), 100, seed=0)
    assert same == {"auroc": None, "accuracy": None}  # all resamples agree


def test_what_rests_on_one_patient_has_no_interval():
    labels, first, second = sample(90)
    called = first > 0.7, second > 0.2
    ill = np.where(labels == 1, "ill", np.arange(90).astype(str))
    found = difference_intervals(labels, ill, (first, second), called, 100, seed=0)
    assert found["auroc"] is None
    assert found["accuracy"] is not None
    one = difference_intervals(labels, np.full(90, "one"), (first, second), called, 100, seed=0)
    assert one == {"auroc": None, "accuracy": None}


def test_an_interval_of_accuracys_difference_is_that_of_the_resampled_accuracies():
    labels, first, second = sample(90)
    patients = (np.arange(90) // 2).astype(str)
    called = first > 0.7, second > 0.2
    found = difference_intervals(labels, patients, (first, second), called, 130, seed=3)
    right = [(one == (labels == 1)) for one in called]
    differences, areas = [], []
    for block in weights(patients, 130, seed=3):
        for times in block.astype(int):
            rows = np.repeat(np.arange(90), times)
            differences.append(right[0][rows].mean() - right[1][rows].mean())
            areas.append(roc_auc_score(labels[rows], first[rows]) - roc_auc_score(labels[rows], second[rows]))
    assert found["accuracy"] == pytest.approx(np.percentile(differences, [2.5, 97.5]))
    assert found["auroc"] == pytest.approx(np.percentile(areas, [2.5, 97.5]))


def test_holm_is_what_one_works_out_by_hand():
    """0.01 x 4, 0.02 x 3, 0.03 x 2 (not under the one before), 0.5 x 1."""
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([0.04]) == [0.04]
    assert holm([]) == []
