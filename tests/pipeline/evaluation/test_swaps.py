"""A swap gives each class the other's grey levels, shape or sharpness, and a model that reads that is found out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.swaps import ASPECT, GREY_LEVELS, SHARPNESS, swapped

SIZE = 64
LABELS = np.arange(40) % 2


def chests(seed=0):
    """Blurred noise with a disc; PNEUMONIA is brighter, and NORMAL is sharper."""
    generator = np.random.default_rng(seed)
    images = np.empty((40, SIZE, SIZE, 1), np.uint8)
    for label, image in zip(LABELS, images, strict=True):
        noise = generator.uniform(40, 120, (SIZE, SIZE)).astype(np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), 1.5 if label else 1.0)
        image[..., 0] = smooth + 60 * label + 30 * cv2.circle(np.zeros((SIZE, SIZE)), (32, 32), 12, 1, -1)
    return images


def sharpness(images):
    return np.array([cv2.Laplacian(image, cv2.CV_32F).var() for image in images])


def auroc(read, images):
    return roc_auc_score(LABELS, read(images))


def brightness(images):
    return images.mean(axis=(1, 2, 3))


@pytest.mark.parametrize(("swap", "read"), [(GREY_LEVELS, brightness), (SHARPNESS, lambda x: -sharpness(x))])
def test_a_model_that_reads_the_property_is_turned_round(swap, read):
    images = chests()
    before = images.copy()
    changed = dict(swapped(images, LABELS, 0, None))[swap]
    assert auroc(read, images) == 1.0
    assert auroc(read, changed) < 0.05
    np.testing.assert_array_equal(images, before)


def test_sharpness_becomes_that_of_an_image_of_the_other_class_and_brightness_stays():
    images = chests()
    changed = dict(swapped(images, LABELS, 0, None))[SHARPNESS]
    for label in (0, 1):
        wanted = sharpness(images[label != LABELS])
        found = sharpness(changed[label == LABELS])
        assert (found > 0.9 * wanted.min()).all()
        assert (found < 1.1 * wanted.max()).all()
    assert np.abs(brightness(changed) - brightness(images)).max() < 1


def test_grey_levels_are_those_of_the_other_class_and_keep_their_order():
    images = chests()
    changed = dict(swapped(images, LABELS, 0, None))[GREY_LEVELS]
    for label in (0, 1):
        wanted = images[label != LABELS].mean(axis=(1, 2, 3))
        assert np.all(np.abs(changed[label == LABELS].mean(axis=(1, 2, 3)) - wanted.mean()) < np.ptp(wanted) + 2)
    order = np.argsort(images[0].ravel(), kind="stable")
    assert (np.diff(changed[0].ravel()[order].astype(int)) >= 0).all()


def test_a_squeezed_picture_gets_the_shape_of_the_other_class():
    """A picture of 3:2 was squeezed more than one of 1:1: as if it had been square, its disc becomes wider."""
    disc = cv2.circle(np.full((SIZE, SIZE), 20, np.uint8), (32, 32), 12, 200, -1)
    discs = np.broadcast_to(disc[..., None], (40, SIZE, SIZE, 1)).copy()
    changed = dict(swapped(discs, LABELS, 0, np.where(LABELS == 1, 1.5, 1.0)))[ASPECT]
    for label, shape in ((0, 1 / 1.5), (1, 1.5)):
        for image in changed[label == LABELS]:
            rows, columns = np.nonzero(image[..., 0] > 110)
            assert np.ptp(columns) / np.ptp(rows) == pytest.approx(shape, rel=0.1)
    assert changed.min() == 20  # no black bars, which would tell the classes apart


def test_without_known_shapes_nothing_is_stretched():
    assert ASPECT not in dict(swapped(chests(), LABELS, 0, None))
    unknown = dict(swapped(chests(), LABELS, 0, np.full(40, np.nan)))[ASPECT]
    np.testing.assert_array_equal(unknown, chests())
