"""The shortcut audit finds out a model that reads the border, a letter, or the exposure."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.shortcuts import CHANGES, exposure_features, shortcut_audit, without_markers

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
    found = shortcut_audit(READERS[name], images, table, 0.5, split="validation", resamples=50, **options)
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
