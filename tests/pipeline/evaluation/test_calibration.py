"""Calibration error and temperature against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from pipeline.evaluation.calibration import (
    assign_bins,
    expected_calibration_error,
    fit_temperature,
    fit_temperature_and_bias,
    logits,
    negative_log_likelihood,
    probabilities_at,
    reliability,
)


def sample(n, seed=0):
    generator = np.random.default_rng(seed)
    scores = generator.normal(0, 2, n)
    return (generator.random(n) < probabilities_at(scores, 1.0)).astype(np.int64), scores


def test_the_temperature_that_spoiled_the_logits_is_found():
    labels, scores = sample(20_000)
    assert fit_temperature(labels, scores * 3) == pytest.approx(3.0, rel=0.05)
    assert fit_temperature(labels, scores / 2) == pytest.approx(0.5, rel=0.05)


def test_the_temperature_lowers_likelihood_loss_and_ece_but_keeps_the_ranking():
    labels, scores = sample(4000)
    over = scores * 4
    temperature = fit_temperature(labels, over)
    assert negative_log_likelihood(labels, over, temperature) < negative_log_likelihood(labels, over) - 0.1
    before, after = probabilities_at(over, 1.0), probabilities_at(over, temperature)
    assert expected_calibration_error(labels, after) < expected_calibration_error(labels, before) / 3
    np.testing.assert_array_equal(np.argsort(after, kind="stable"), np.argsort(over, kind="stable"))


def test_perfectly_separated_scores_do_not_become_certainties():
    scores = np.concatenate([np.full(50, -4.0), np.full(50, 4.0)])
    labels = np.repeat([0, 1], 50)
    temperature = fit_temperature(labels, scores)
    # Platt's target for the positives is 51/52, so that is the probability the fit makes of a logit of 4.
    assert float(probabilities_at(np.array(4.0), temperature)) == pytest.approx(51 / 52, abs=1e-4)


def test_a_bias_corrects_what_class_weights_did_and_a_temperature_cannot():
    """Scores as of a network that was trained as if PNEUMONIA were e^2 times rarer than it is."""
    labels, scores = sample(20_000)
    spoiled = (scores - 2.0) * 1.5
    temperature, bias = fit_temperature_and_bias(labels, spoiled)
    assert temperature == pytest.approx(1.5, rel=0.05)
    assert bias == pytest.approx(2.0, rel=0.05)
    alone = probabilities_at(spoiled, fit_temperature(labels, spoiled))
    both = probabilities_at(spoiled, temperature, bias)
    assert expected_calibration_error(labels, alone) > 0.1
    assert expected_calibration_error(labels, both) < 0.02


def test_a_bias_is_found_for_separated_and_for_useless_scores():
    labels = np.repeat([0, 1], [20, 60])
    temperature, bias = fit_temperature_and_bias(labels, np.where(labels == 1, 5.0, -5.0))
    assert np.isfinite([temperature, bias]).all()
    assert probabilities_at(np.array(5.0), temperature, bias) == pytest.approx(61 / 62, abs=1e-3)
    temperature, bias = fit_temperature_and_bias(labels, np.zeros(80))
    assert probabilities_at(np.array(0.0), temperature, bias) == pytest.approx(0.75, abs=0.02)


def test_likelihood_is_cross_entropy():
    labels, p = np.array([1, 0, 1]), np.array([0.8, 0.3, 0.6])
    expected = -(np.log(0.8) + np.log(0.7) + np.log(0.6)) / 3
    assert negative_log_likelihood(labels, logits(p)) == pytest.approx(expected)


def test_logits_undo_the_sigmoid_and_stay_finite():
    scores = np.array([-30.0, -1.0, 0.0, 2.5, 30.0])
    np.testing.assert_allclose(logits(probabilities_at(scores, 1.0)), scores, rtol=1e-3)
    assert logits(np.array([0.0, 1.0, 0.5, 1e-30])).tolist() == [-36.0, 36.0, 0.0, -36.0]


def test_a_bias_is_added_after_the_temperature():
    scores = np.array([-2.0, 0.0, 3.0])
    np.testing.assert_allclose(probabilities_at(scores, 2.0, 0.5), 1 / (1 + np.exp(-(scores / 2 + 0.5))))
    np.testing.assert_allclose(probabilities_at(scores, 2.0), 1 / (1 + np.exp(-scores / 2)))
    labels, p = np.array([1, 0, 1]), probabilities_at(scores, 2.0, 0.5)
    expected = -np.mean(np.log(np.where(labels == 1, p, 1 - p)))
    assert negative_log_likelihood(labels, scores, 2.0, 0.5) == pytest.approx(expected)


def test_logits_of_a_network_are_float32_and_their_probabilities_are_not():
    """In float32 a logit of 20 is certainty, and no calibration could tell it from one of 30."""
    scores = np.array([20.0, 30.0], np.float32)
    high = probabilities_at(scores, 1.0)
    assert high[0] < high[1] < 1.0
    assert logits(np.array([0.1], np.float32))[0] == logits(np.array([np.float32(0.1)], np.float64))[0]
    exact = negative_log_likelihood(np.array([1]), np.array([np.float32(0.1)], np.float64), 3.0)
    assert negative_log_likelihood(np.array([1]), np.array([0.1], np.float32), 3.0) == exact


def test_likelihood_takes_soft_targets():
    assert negative_log_likelihood(np.array([0.25]), np.array([0.0])) == pytest.approx(np.log(2))
    p = 1 / (1 + np.exp(-1))
    expected = -(0.25 * np.log(p) + 0.75 * np.log(1 - p))
    assert negative_log_likelihood(np.array([0.25]), np.array([1.0])) == pytest.approx(expected)


def test_scores_far_too_timid_or_without_meaning_end_at_the_ends_of_the_range():
    labels, scores = sample(4000)
    assert fit_temperature(labels, scores / 100) == pytest.approx(0.1, rel=1e-4)
    assert fit_temperature(labels, -scores) == pytest.approx(10, rel=1e-4)
    temperature, _ = fit_temperature_and_bias(labels, -scores)
    assert temperature == pytest.approx(10, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_fitted_is_likelier_than_what_lies_beside_it(seed):
    """By Platt's targets, (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), on a small and uneven split."""
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [7, 18])
    scores = generator.normal(3.0 * labels - 2.0, 2.0)
    targets = np.where(labels == 1, 19 / 20, 1 / 9)
    alone = fit_temperature(labels, scores)
    temperature, bias = fit_temperature_and_bias(labels, scores)
    least = negative_log_likelihood(targets, scores, alone)
    least_of_both = negative_log_likelihood(targets, scores, temperature, bias)
    assert least_of_both < least
    for factor in (0.99, 1.01):
        assert negative_log_likelihood(targets, scores, alone * factor) > least
        assert negative_log_likelihood(targets, scores, temperature * factor, bias) > least_of_both
        assert negative_log_likelihood(targets, scores, temperature, bias * factor) > least_of_both


def test_bins_hold_equal_numbers_of_images_and_keep_ties_together():
    p = np.random.default_rng(1).random(300)
    assert np.bincount(assign_bins(p)).tolist() == [20] * 15
    assert np.bincount(assign_bins(p[:100])).tolist() == [20] * 5
    assert len(np.unique(assign_bins(np.full(200, 0.7)))) == 1
    tied = np.concatenate([np.zeros(90), np.linspace(0.1, 0.9, 60)])
    assert len(np.unique(assign_bins(tied)[:90])) == 1
    assert assign_bins(p[:39]).tolist() == [0] * 39  # under twenty in each of two
    assert np.bincount(assign_bins(p[:40])).tolist() == [20, 20]
    assert np.bincount(assign_bins(np.linspace(0, 1, 3000))).tolist() == [200] * 15  # 15 are the most
    assert assign_bins(p[:5]).tolist() == [0] * 5
    ordered = assign_bins(np.sort(p))
    assert (np.diff(ordered) >= 0).all()
    assert ordered[0] == 0
    assert assign_bins(p).dtype == np.int64


def test_bins_that_do_not_come_out_even_differ_by_one_and_a_tie_at_an_edge_goes_up():
    assert np.bincount(assign_bins(np.linspace(0, 1, 50))).tolist() == [25, 25]
    assert np.bincount(assign_bins(np.linspace(0, 1, 70))).tolist() == [23, 24, 23]
    tied = np.concatenate([np.linspace(0, 0.4, 15), np.full(10, 0.5), np.linspace(0.6, 1, 15)])
    assert np.bincount(assign_bins(tied)).tolist() == [15, 25]  # the edge between 20 and 20 falls among equals
    assert assign_bins(tied)[15:25].tolist() == [1] * 10


def test_ece_is_what_one_works_out_by_hand():
    """Two bins of 20: 0.2 said and 8 of 20 seen, 0.9 said and 19 of 20 seen."""
    p = np.repeat([0.2, 0.9], 20)
    labels = np.array([1] * 8 + [0] * 12 + [1] * 19 + [0])
    said, seen, counts = reliability(labels, p)
    np.testing.assert_allclose(said, [0.2, 0.9])
    np.testing.assert_allclose(seen, [0.4, 0.95])
    assert counts.tolist() == [20, 20]
    assert expected_calibration_error(labels, p) == pytest.approx((0.2 + 0.05) / 2)


def test_ece_agrees_with_a_plain_loop_over_sorted_images():
    labels, scores = sample(600, seed=3)
    p = probabilities_at(scores * 2, 1.0)
    order = np.argsort(p)
    pieces = np.array_split(order, 15)
    expected = sum(len(i) / 600 * abs(labels[i].mean() - p[i].mean()) for i in pieces)
    assert expected_calibration_error(labels, p) == pytest.approx(expected)


def test_platt_scaling_is_scikit_learns():
    """Its `method="sigmoid"` fits the same two numbers to the same targets."""
    labels, scores = sample(2000)
    temperature, bias = fit_temperature_and_bias(labels, 2.5 * scores - 1.0)
    network = LogisticRegression()
    network.classes_, network.coef_, network.intercept_ = np.array([0, 1]), np.ones((1, 1)), 0.0  # hands on its input
    inputs = (2.5 * scores - 1.0)[:, None]
    oracle = CalibratedClassifierCV(FrozenEstimator(network), method="sigmoid").fit(inputs, labels)
    expected = oracle.predict_proba(inputs)[:, 1]
    np.testing.assert_allclose(probabilities_at(inputs[:, 0], temperature, bias), expected, atol=1e-4)
