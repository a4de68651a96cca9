"""Other images are said to resemble the change that they were seen through."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.evaluation.resemblance import FEWEST, resemblance
from pipeline.evaluation.shifts import SHIFTS, shifted


def chests(seed, count=60, side=48):
    """Bright blobs on grey with a dark border, of other people for each seed."""
    generator = np.random.default_rng(seed)
    images = np.full((count, side, side), 40, np.uint8)
    for image in images:
        coarse = generator.uniform(60, 220, (7, 7)).astype(np.float32)
        inner = cv2.resize(coarse, (side - 8, side - 8), interpolation=cv2.INTER_CUBIC)
        image[4:-4, 4:-4] = np.clip(inner + generator.normal(0, 4, inner.shape), 0, 255)
    return images[..., np.newaxis]


def test_images_through_a_change_are_named_by_it():
    validation, others = chests(0), chests(1)
    found = {name: resemblance(shifted(others, name, 7), validation, 0)["nearest"] for name in SHIFTS}
    assert sum(name == nearest for name, nearest in found.items()) >= 13, found


def test_unchanged_images_of_other_people_are_like_those_as_they_are():
    found = resemblance(chests(1), chests(0), 0)
    assert found["nearest"] == "as they are"
    assert found["alike"]
    assert found["distance"] == found["unchanged"]


def test_images_of_another_kind_are_like_none():
    noise = np.random.default_rng(0).integers(0, 256, (60, 48, 48, 1), dtype=np.uint8)
    assert not resemblance(noise, chests(0), 0)["alike"]


def test_few_images_tell_nothing():
    assert resemblance(chests(1, FEWEST - 1), chests(0), 0) is None
    assert resemblance(chests(1, FEWEST), chests(0), 0) is not None
