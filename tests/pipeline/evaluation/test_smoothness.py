"""Tiny changes are as small as they say, and a nervous model is told from a calm one."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.smoothness import change_of, tiny_changes


def test_noise_moves_every_pixel_by_just_its_levels_and_a_jpeg_by_few():
    images = np.random.default_rng(0).integers(90, 110, (3, 32, 32, 1), dtype=np.uint8)
    one, two, saved = (seen.astype(int) - images for _, seen in tiny_changes(images, 0))
    assert set(np.unique(one)) == {-1, 1}
    assert set(np.unique(two)) == {-2, 2}
    assert 0 < np.abs(saved).mean() < 3
    again = dict(tiny_changes(images[:2], 0))["every pixel one grey level up or down"]
    np.testing.assert_array_equal(again.astype(int) - images[:2], one[:2])


def test_noise_stays_within_the_grey_levels():
    white = np.full((1, 16, 16, 1), 255, np.uint8)
    assert set(np.unique(dict(tiny_changes(white, 0))["every pixel two grey levels up or down"])) == {253, 255}


def test_the_change_of_answers_is_counted():
    before = np.linspace(0, 1, 1001)
    calm, nervous = before + 0.001, np.where(np.arange(1001) % 50 == 0, 1 - before, before)
    assert change_of(before, np.clip(calm, 0, 1), 0.50001) == {
        "images": 1001,
        "p99_change": pytest.approx(0.001),
        "turned": pytest.approx(1 / 1001),
    }
    assert change_of(before, nervous, 0.5)["p99_change"] > 0.3
