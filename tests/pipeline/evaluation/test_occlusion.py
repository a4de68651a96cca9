"""The occlusion check tells a map that points at what matters from one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.occlusion import occlusion_check

SIZE = 40


def bright_spots(n=30, seed=0):
    """Grey images with a white spot somewhere, and a map whose peak is on it."""
    generator = np.random.default_rng(seed)
    images = generator.integers(80, 100, (n, SIZE, SIZE, 1), dtype=np.uint8)
    heatmaps = np.zeros((n, 5, 5), np.float32)
    for i, (row, column) in enumerate(generator.integers(0, 5, (n, 2))):
        images[i, 8 * row + 2 : 8 * row + 6, 8 * column + 2 : 8 * column + 6] = 255
        heatmaps[i, row, column] = 1.0
    return images, heatmaps, np.arange(n).astype(str)


def sees_white(images):
    """Answer 1 where the whole white spot is seen, and less the more of it is covered."""
    return np.minimum((images == 255).sum(axis=(1, 2, 3)) / 16, 1.0).astype(np.float64)


def test_covering_the_peak_of_a_true_map_lowers_the_probability():
    images, heatmaps, patients = bright_spots()
    before = images.copy()
    weaker = np.linspace(0.8, 1, len(images))
    found = occlusion_check(lambda x: weaker * sees_white(x), images, heatmaps, patients, resamples=200)
    assert found["drop_at_peak"] == pytest.approx(0.9)
    assert found["drop_elsewhere"] < 0.2
    assert found["interval"][0] > 0.5
    assert found["peak_wins"] == 1.0
    assert found["log_odds_interval"][0] > 5
    assert found["images"] == 30
    np.testing.assert_array_equal(images, before)


def test_a_map_that_points_elsewhere_fails():
    images, heatmaps, patients = bright_spots()
    wrong = np.roll(heatmaps, (2, 2), axis=(1, 2))
    found = occlusion_check(sees_white, images, wrong, patients, resamples=200)
    assert found["drop_at_peak"] < 0.1
    assert found["interval"][0] <= 0
    assert found["peak_wins"] < 0.2


def test_a_saturated_model_is_judged_by_its_log_odds():
    """P falls from 1 - 1e-6 to 1 - 1e-4 at the peak: nothing in probability, a factor of 100 in odds."""
    images, heatmaps, patients = bright_spots()
    found = occlusion_check(lambda x: 1 - 1e-6 - 9.9e-5 * (1 - sees_white(x)), images, heatmaps, patients, 100)
    assert found["difference"] < 1e-3
    assert found["log_odds_difference"] == pytest.approx(np.log(100), rel=0.15)
    assert found["peak_wins"] == 1.0


def test_the_squares_elsewhere_never_touch_the_peaks_square():
    images, heatmaps, patients = bright_spots()
    corner = np.zeros_like(heatmaps)
    corner[:, 2, 2] = 1.0
    covered = []

    def watch(seen):
        covered.append((seen != images).any(axis=-1))
        return np.zeros(len(seen))

    occlusion_check(watch, images, corner, patients, resamples=10)
    middle = covered[1]
    for other in covered[2:]:
        assert not (other & middle).any()
        assert (other.sum(axis=(1, 2)) > 50).all()  # 10 x 10 pixels, less those that already had the mean grey


def test_the_same_seed_gives_the_same_answer():
    images, heatmaps, patients = bright_spots()
    wrong = np.roll(heatmaps, 2, axis=1)
    found = [occlusion_check(sees_white, images, wrong, patients, resamples=50, seed=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_one_patient_has_no_intervals():
    images, heatmaps, patients = bright_spots()
    found = occlusion_check(sees_white, images, heatmaps, np.full_like(patients, patients[0]), resamples=20)
    assert (found["interval"], found["log_odds_interval"]) == (None, None)
    assert found["peak_wins"] == 1.0
