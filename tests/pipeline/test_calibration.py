"""Calibration error and temperature against independent computations."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.calibration import (
    bins,
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


def test_a_bias_mends_what_class_weights_did_and_a_temperature_cannot():
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
    assert np.isfinite(logits(np.array([0.0, 1.0]))).all()


def test_bins_hold_equal_numbers_of_images_and_keep_ties_together():
    p = np.random.default_rng(1).random(300)
    assert np.bincount(bins(p)).tolist() == [20] * 15
    assert np.bincount(bins(p[:100])).tolist() == [20] * 5
    assert len(np.unique(bins(np.full(200, 0.7)))) == 1
    tied = np.concatenate([np.zeros(90), np.linspace(0.1, 0.9, 60)])
    assert len(np.unique(bins(tied)[:90])) == 1


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
