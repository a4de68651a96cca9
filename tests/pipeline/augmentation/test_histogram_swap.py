"""Grey levels of the other class for training images."""

import numpy as np

from pipeline.augmentation import augment
from pipeline.augmentation.histogram_swap import swap

BATCH, SIDE = 16, 24


def batch():
    """Return dark images of one class and bright ones of the other, and their labels."""
    labels = np.arange(BATCH) % 2
    random = np.random.default_rng(0)
    levels = random.integers(0, 100, (BATCH, SIDE, SIDE, 1)) + 150 * labels[:, None, None, None]
    return levels.astype(np.uint8), labels


def uniform(part: float = 0.999):
    """Return random numbers by which every image is changed, by `part` of the possible way."""
    numbers = augment.draw(0, 0, BATCH)
    numbers[:, augment.Draw.SWAP_PART] = part
    return numbers


def test_an_image_gets_the_histogram_of_the_other_class_and_keeps_the_order_of_its_levels():
    images, labels = batch()
    changed = swap(images, labels, uniform(), 1.0)
    assert (changed[labels == 0].mean(axis=(1, 2, 3)) > 150).all()
    assert (changed[labels == 1].mean(axis=(1, 2, 3)) < 100).all()
    before, after = images[0].ravel().astype(int), changed[0].ravel().astype(int)
    order = np.argsort(before, kind="stable")
    assert (np.diff(after[order]) >= 0).all()


def test_the_part_of_the_way_is_drawn():
    images, labels = batch()
    less, more = (swap(images, labels, uniform(part), 1.0)[0].mean() for part in (0.0, 0.999))
    assert images[0].mean() < less < more


def test_nothing_is_changed_at_probability_0_or_in_a_batch_of_one_class():
    images, labels = batch()
    np.testing.assert_array_equal(swap(images, labels, uniform(), 0.0), images)
    np.testing.assert_array_equal(swap(images, np.ones(BATCH, int), uniform(), 1.0), images)
    np.testing.assert_array_equal(images, batch()[0])


def test_the_probability_is_that_of_each_image():
    images, labels = batch()
    numbers = np.concatenate([augment.draw(0, step, BATCH) for step in range(64)])
    several, classes = np.concatenate([images] * 64), np.concatenate([labels] * 64)
    changed = swap(several, classes, numbers, 0.25)
    share = (changed != several).any(axis=(1, 2, 3)).mean()
    assert 0.2 < share < 0.3
