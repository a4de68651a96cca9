"""The shortcut audit finds out a model that reads the border, a letter, or the exposure."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.shortcuts import (
    BLACKED,
    CHANGES,
    SIZES,
    exposure_features,
    reliance,
    shortcut_audit,
    without_markers,
)

SIZE = 64


def chests(n=80, seed=0):
    """Noise; PNEUMONIA has a bright patch inside the lungs, a bright lower border, and a letter at the top left."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = generator.integers(60, 90, (n, SIZE, SIZE, 1), dtype=np.uint8)
    images[labels == 1, 28:36, 28:36] = 200
    images[labels == 1, -3:] = 200
    images[labels == 1, 5:10, 5:8] = 255
    names = np.arange(n).astype(str)
    return images, Predictions(names, names, np.where(labels == 1, "virus", "normal"), labels, np.full(n, 0.5))


def reader(rows, columns):
    """A model that calls PNEUMONIA whatever is bright in one place."""
    return lambda images: images[:, rows, columns].mean(axis=(1, 2, 3)) / 255.0


READERS = {
    "lungs": reader(slice(28, 36), slice(28, 36)),
    "border": reader(slice(-3, None), slice(None)),
    "letter": reader(slice(5, 10), slice(5, 8)),
}


def aurocs(name, **options):
    images, table = chests()
    answers = {change: READERS[name](of(images)) for change, of in CHANGES.items()}
    table = table.with_probabilities(READERS[name](images))
    found = shortcut_audit(table, answers, images, 0.5, split="validation", resamples=50, **options)
    assert (found["split"], found["images"]) == ("validation", 80)
    return {row["name"]: row["auroc"] for row in found["rows"]}


def test_a_model_that_reads_lungs_fails_without_them():
    found = aurocs("lungs")
    assert found["the whole image"] == 1.0
    assert found["only the lung fields"] == 1.0
    assert found["letters and markers painted over"] == 1.0
    assert found["lung fields blacked out"] == 0.5
    assert found["only the border"] == 0.5


def test_a_model_that_reads_the_border_does_as_well_without_lungs():
    found = aurocs("border")
    assert found["lung fields blacked out"] == 1.0
    assert found["only the border"] == 1.0
    assert found["only the lung fields"] == 0.5


def test_a_model_that_reads_a_letter_fails_once_it_is_painted_over():
    found = aurocs("letter")
    assert found["the whole image"] == 1.0
    assert found["letters and markers painted over"] < 0.8


def test_exposure_alone_is_scored_if_there_are_images_to_learn_from():
    assert len(aurocs("lungs")) == 5
    images, table = chests(seed=1)
    found = aurocs("lungs", train=(images, table.labels))
    assert found["exposure and sharpness alone (logistic regression)"] == 1.0  # bright patches are exposure, too


def left(name, **options):
    images, table = chests()
    read = READERS[name]
    return reliance(table.with_probabilities(read(images)), read(CHANGES[BLACKED](images)), 200, 0, **options)


def test_reliance_says_how_much_of_the_ranking_is_left_without_lungs():
    assert left("border")["left"] == left("letter")["left"] == 1.0
    assert left("border")["interval"] is None  # all resamples agree, which is no certainty
    assert left("lungs") == {"images": 80, "auroc": 1.0, "auroc_without_lungs": 0.5, "left": 0.0, "interval": None}


def test_reliance_is_a_ratio_of_leads_over_chance_with_an_interval_around_it():
    _, table = chests()
    generator = np.random.default_rng(0)
    good, poor = (table.labels + generator.normal(0, spread, len(table)) for spread in (0.6, 1.5))
    good, poor = (np.clip((p + 5) / 11, 0, 1) for p in (good, poor))
    found = reliance(table.with_probabilities(good), poor, 500, 0)
    assert found["left"] == pytest.approx((found["auroc_without_lungs"] - 0.5) / (found["auroc"] - 0.5))
    low, high = found["interval"]
    assert 0 < low < found["left"] < high < 1
    same = reliance(table.with_probabilities(good), good, 500, 0)
    assert same["interval"] is None  # the same patients are drawn with and without lungs, so all resamples agree


def test_a_model_no_better_than_chance_has_no_reliance():
    _, table = chests()
    found = reliance(table, table.probabilities, 50, 0)
    assert (found["auroc"], found["left"], found["interval"]) == (0.5, None, None)


def test_the_size_of_the_file_alone_is_scored_in_either_direction_where_it_is_known():
    _, table = chests()
    wide = np.where(table.labels == 1, 300.0, 200.0)
    sizes = np.stack([wide, np.full(80, 200.0)], axis=1)
    for pictures in (sizes, sizes[:, ::-1]):  # PNEUMONIA is wider, or taller
        assert [aurocs("lungs", sizes=pictures)[name] for name in SIZES] == [1.0, 1.0]
    unknown = np.where(np.arange(80)[:, None] < 40, sizes[:, ::-1], np.nan)
    assert aurocs("lungs", sizes=unknown)["width / height of the file alone"] == 1.0
    assert not set(SIZES) & set(aurocs("lungs", sizes=np.full((80, 2), np.nan)))


def test_masks_leave_what_they_say_and_the_originals_alone():
    images, _ = chests(4)
    before = images.copy()
    lungless, lungs, border = (
        CHANGES[name](images) for name in ("lung fields blacked out", "only the lung fields", "only the border")
    )
    np.testing.assert_array_equal(lungless.astype(int) + lungs, images)  # the two halves make the whole
    assert (lungless[:, 32, 32] == 0).all()
    assert (lungs[:, :5] == 0).all()
    assert (border[:, 6:-6, 6:-6] == 0).all()
    np.testing.assert_array_equal(border[:, :6], images[:, :6])
    without_markers(images)
    np.testing.assert_array_equal(images, before)


def test_painting_over_markers_takes_letters_and_leaves_lungs():
    images, _ = chests(2)
    changed = without_markers(images)
    assert changed[1, 5:10, 5:8].max() < 120
    np.testing.assert_array_equal(changed[1, 20:44, 20:44], images[1, 20:44, 20:44])
    np.testing.assert_array_equal(changed[0], images[0])  # nothing to paint over


def test_exposure_features_follow_exposure_and_sharpness():
    flat = np.full((1, SIZE, SIZE, 1), 100, np.uint8)
    noisy = np.random.default_rng(0).integers(50, 150, (1, SIZE, SIZE, 1), dtype=np.uint8)
    features = exposure_features(np.concatenate([flat, flat + 50, noisy]))
    assert features.shape == (3, 11)
    assert np.isfinite(features).all()
    assert features[1, 0] - features[0, 0] == pytest.approx(50)
    assert features[2, -1] > features[0, -1] + 5
