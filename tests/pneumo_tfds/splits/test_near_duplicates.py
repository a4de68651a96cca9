"""Changed copies of a phantom are found, and other phantoms are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumo_tfds.phantoms.drawing import render
from pneumo_tfds.splits import near_duplicates
from pneumo_tfds.splits.near_duplicates import SIDE, near_groups, thumbnail

SIZE = 224
SUBTYPES = ("normal", "bacteria", "virus")


def phantom(number):
    return cv2.resize(
        render(7, f"p{number}", f"{number}.jpeg", SUBTYPES[number % 3]), (SIZE, SIZE), interpolation=cv2.INTER_AREA
    )


PHANTOMS = [phantom(number) for number in range(30)]
THUMBNAILS = [thumbnail(image) for image in PHANTOMS]


def warped(image, matrix):
    return cv2.warpAffine(image, np.asarray(matrix, np.float32), image.shape[::-1])  # black where nothing is known


def turn(image, degrees):
    middle = (image.shape[1] / 2 - 0.5, image.shape[0] / 2 - 0.5)
    return warped(image, cv2.getRotationMatrix2D(middle, degrees, 1.0))


def shift(image, across, down):
    return warped(image, [[1, 0, across * image.shape[1]], [0, 1, down * image.shape[0]]])


def crop(image, left, top, right, bottom):
    height, width = image.shape
    return image[
        round(top * height) : height - round(bottom * height), round(left * width) : width - round(right * width)
    ]


def recompress(image, quality):
    return cv2.imdecode(cv2.imencode(".jpeg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def expose(image, gamma, gain):
    return np.clip(gain * 255 * (image / 255.0) ** gamma, 0, 255).astype(np.uint8)


def rescale(image, side):
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


CHANGES = {
    "turned by 5 degrees": lambda image: turn(image, 5),
    "turned the other way": lambda image: turn(image, -5),
    "shifted by 3 %": lambda image: shift(image, 0.03, -0.03),
    "cropped by 5 % on all sides": lambda image: crop(image, 0.05, 0.05, 0.05, 0.05),
    "cropped by 5 % on one side": lambda image: crop(image, 0.05, 0.0, 0.0, 0.0),
    "mirrored": np.fliplr,
    "upside down": np.flipud,
    "turned by a quarter": np.rot90,
    "inverted": lambda image: 255 - image,
    "scaled to 96 pixels": lambda image: rescale(image, 96),
    "scaled to 300 pixels": lambda image: rescale(image, 300),
    "JPEG of quality 50": lambda image: recompress(image, 50),
    "darker": lambda image: expose(image, 1.4, 1.0),
    "brighter": lambda image: expose(image, 0.7, 1.0),
    "less contrast": lambda image: (60 + 0.6 * image).astype(np.uint8),
    "mirrored and turned": lambda image: turn(np.fliplr(image), 5),
    "inverted and cropped": lambda image: crop(255 - image, 0.05, 0.0, 0.05, 0.05),
    "turned and recompressed": lambda image: recompress(turn(image, -4), 50),
}


def found(copy, original):
    return near_groups([*THUMBNAILS, thumbnail(np.ascontiguousarray(copy))], workers=0) == [[original, len(THUMBNAILS)]]


def test_other_phantoms_are_not_near_identical():
    assert near_groups(THUMBNAILS) == []


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_each_change_is_found(change):
    assert all(found(change(PHANTOMS[number]), number) for number in range(3))


def between(low, high):
    return st.floats(low, high, allow_nan=False)


margin = between(0.0, 0.05)
geometry = st.one_of(
    st.tuples(st.just(turn), between(-5, 5)),
    st.tuples(st.just(shift), between(-0.03, 0.03), between(-0.03, 0.03)),
    st.tuples(st.just(crop), margin, margin, margin, margin),
    st.tuples(st.just(lambda image: np.fliplr(image))),
    st.tuples(st.just(lambda image, quarters: np.rot90(image, quarters)), st.integers(1, 3)),
)
levels = st.one_of(
    st.tuples(st.just(lambda image: 255 - image)),
    st.tuples(st.just(expose), between(0.7, 1.4), between(0.7, 1.0)),
    st.tuples(st.just(recompress), st.integers(50, 100)),
    st.tuples(st.just(rescale), st.integers(96, 400)),
)


@given(st.integers(0, len(PHANTOMS) - 1), geometry, levels)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_any_two_changes_within_the_limits_are_found(number, first, second):
    image = PHANTOMS[number]
    for change, *parameters in (first, second):
        image = np.ascontiguousarray(change(image, *parameters))
    assert found(image, number)


def test_only_images_on_different_sides_are_compared_if_there_are_sides():
    copy = thumbnail(np.fliplr(PHANTOMS[0]).copy())
    assert near_groups([*THUMBNAILS, copy], ["train"] * 31) == []
    assert near_groups([*THUMBNAILS, copy], ["train"] * 30 + ["test"]) == [[0, 30]]


def test_pairs_across_sides_are_compared_once_whichever_image_is_the_larger(monkeypatch):
    monkeypatch.setattr(near_duplicates, "MIN_SIMILARITY", 0.5)
    signatures = np.random.default_rng(0).normal(size=(3, 24, 4)).astype(np.float32)
    signatures /= np.linalg.norm(signatures, axis=2, keepdims=True)
    sides = ["val", "train", "test"] * 8
    found = [tuple(pair) for pairs in near_duplicates._similar(signatures, sides) for pair in pairs.tolist()]
    every = {tuple(pair) for pairs in near_duplicates._similar(signatures, None) for pair in pairs.tolist()}
    assert sorted(found) == sorted((one, other) for one, other in every if sides[one] != sides[other])


def test_copies_are_linked_through_others():
    first = THUMBNAILS[0]
    assert near_groups([first, THUMBNAILS[1], first, first]) == [[0, 2, 3]]


def test_copies_that_are_linked_already_are_not_aligned_again(monkeypatch):
    aligned = []
    monkeypatch.setattr(near_duplicates, "correlation", lambda one, other: aligned.append(1) or 1.0)
    assert near_groups([THUMBNAILS[0]] * 100) == [list(range(100))]
    assert len(aligned) < 300, "of 4,950 pairs"


def test_blocks_of_pairs_do_not_change_what_is_found(monkeypatch):
    images = [*THUMBNAILS[:6], *(thumbnail(turn(image, 3)) for image in PHANTOMS[:6])]
    monkeypatch.setattr(near_duplicates, "_BLOCK", 30)
    assert near_groups(images) == [[index, index + 6] for index in range(6)]


@pytest.mark.parametrize("level", [0, 90, 255])
def test_images_without_detail_are_no_copies_of_each_other(level):
    blank = np.full((SIDE, SIDE), level, np.uint8)
    assert near_groups([blank, blank, THUMBNAILS[0]]) == []
    assert near_groups([]) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (97, 95), (96, 1000), (1500, 2001)])
def test_thumbnails_of_any_shape(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    small = thumbnail(image)
    assert small.shape == (SIDE, SIDE)
    assert small.dtype == np.uint8
