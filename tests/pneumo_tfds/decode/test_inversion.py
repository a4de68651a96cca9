"""Pictures that are inverted against the others of a source, and pictures that are too different or few to tell."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from image_files import picture
from pneumo_tfds.decode.inversion import AGAINST, FEWEST, inversion_remarks

CHEST = cv2.GaussianBlur(picture(7), (0, 0), 3).astype(np.float32)


def alike(count, seed=0):
    """Pictures that share their coarse shape, each with an exposure and noise of its own."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        noise = cv2.GaussianBlur(random.normal(0, 60, CHEST.shape).astype(np.float32), (0, 0), 2)
        yield np.clip(CHEST * random.uniform(0.6, 1.1) + noise + random.uniform(0, 40), 0, 255).astype(np.uint8)


def named(pictures, inverted=()):
    return {f"{i}.png": 255 - one if i in inverted else one for i, one in enumerate(pictures)}


@pytest.mark.parametrize("inverted", [{3}, set(range(10))])
def test_the_inverted_ones_among_30_are_named_and_no_others(inverted):
    remarks = inversion_remarks(named(alike(30), inverted))
    assert remarks.keys() == {f"{i}.png" for i in inverted}
    assert all(f"inverted against {30 - len(inverted)} images of the source" in text for text in remarks.values())
    assert all(float(text.rpartition(" ")[2]) > AGAINST for text in remarks.values())


def test_pictures_that_are_alike_have_no_remark_whatever_their_exposure():
    assert not inversion_remarks(named(alike(60)))


def test_where_most_are_inverted_the_others_are_named():
    assert inversion_remarks(named(alike(30), range(4, 30))).keys() == {f"{i}.png" for i in range(4)}


def test_different_or_few_pictures_are_not_compared():
    assert not inversion_remarks(named(map(picture, range(30)), {1, 2}))
    assert not inversion_remarks(named(alike(FEWEST - 1), {0}))
    assert not inversion_remarks(named([np.full((64, 64), 7, np.uint8)] * 20))
