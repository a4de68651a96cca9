"""The range of deep pictures follows their content, and usual pictures are told from dark, flat and bright ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pneumo_tfds.decode import decode_full
from pneumo_tfds.decode.exposure import exposure_remark
from pneumo_tfds.decode.grey_range import content_range


@pytest.fixture
def grey(picture):
    return np.clip(picture(30, 200, 160).astype(int) + np.random.default_rng(0).integers(0, 3, (160, 200)), 0, 255)


def deep(values) -> bytes:
    return cv2.imencode(".png", np.asarray(values).astype(np.uint16))[1].tobytes()


def assert_alike(data: bytes, grey) -> None:
    low, high = grey.min(), grey.max()
    np.testing.assert_allclose(decode_full(data).astype(float), (grey - low) * 255.0 / (high - low), atol=1)


@pytest.mark.parametrize("bits", [8, 9, 10, 11, 12, 13, 14, 15, 16])
@pytest.mark.parametrize("offset", [0, 37])
def test_content_of_any_depth_is_at_full_range(bits, offset, grey):
    most = (1 << bits) - 1 - offset
    assert_alike(deep(np.rint(grey / 255 * most) + offset), grey)


def test_a_maximum_of_one_more_changes_nothing(grey):
    twelve = np.rint(grey / 255 * 4095)
    np.testing.assert_allclose(
        decode_full(deep(np.where(twelve == twelve.max(), 4096, twelve))).astype(int), decode_full(deep(twelve)), atol=1
    )


@pytest.mark.parametrize("shift", [2, 4])
def test_samples_at_the_upper_end_of_sixteen_bits(shift, grey):
    assert_alike(deep(np.rint(grey / 255 * ((1 << 16 - shift) - 1)).astype(int) << shift), grey)


@pytest.mark.parametrize("pixels", [1, 40, 250])
@pytest.mark.parametrize("value", [8191, 30_000, 65_535])
def test_defective_pixels_and_markers_do_not_darken_the_rest(pixels, value, grey):
    twelve = np.rint(grey / 255 * 4095)
    drawn = twelve.copy()
    drawn.ravel()[100 : 100 + pixels] = value
    out, expected = decode_full(deep(drawn)).ravel(), decode_full(deep(twelve)).ravel()
    rest = np.r_[0:100, 100 + pixels : out.size]
    np.testing.assert_allclose(out[rest].astype(int), expected[rest], atol=2)
    assert out[100] == 255


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("value", [0, 65_535])
def test_a_marker_or_border_far_from_the_picture_does_not_darken_it(share, value, grey):
    content = np.rint(grey / 255 * 4095) + (0 if value else 50_000)
    drawn, count = content.copy(), int(share * content.size)
    drawn.ravel()[:count] = value
    out = decode_full(deep(drawn)).ravel()[count:].astype(float)
    rest = content.ravel()[count:]
    low, high = rest.min(), rest.max()
    np.testing.assert_allclose(out, (rest - low) * 255.0 / (high - low), atol=2)


def lettered(shape, share) -> np.ndarray:
    """Letters with soft edges, 0 to 1, that cover this share of the pixels."""
    drawn, column = np.zeros(shape, np.uint8), 5
    while (drawn > 0).mean() < 0.85 * share:
        cv2.putText(drawn, "L", (column % (shape[1] - 20), 30 + 40 * (column // (shape[1] - 20))), 0, 0.9, 255, 2, 16)
        column += 22
    return drawn / 255


@pytest.mark.parametrize("share", [0.004, 0.01, 0.015, 0.02])
@pytest.mark.parametrize("level", [9000, 65_500])
@pytest.mark.parametrize("end", ["bright", "dark"])
def test_a_marker_of_several_values_does_not_darken_the_rest(share, level, end, picture):
    grey = picture(30, 400, 320).astype(float)
    content = np.rint(grey / 255 * 4095)
    letters = lettered(content.shape, share)
    levels = level - np.random.default_rng(1).integers(0, 30, content.shape)
    drawn = np.rint(content * (1 - letters) + levels * letters)
    if end == "dark":
        content, drawn = 65_535 - content, 65_535 - drawn
    rest = letters == 0
    assert 0.002 < 1 - rest.mean() < 0.021
    out, expected = (decode_full(deep(each))[rest].astype(float) for each in (drawn, content))
    np.testing.assert_allclose(out, expected, atol=10)


def test_a_small_picture_in_a_noisy_border_is_no_marker():
    values = np.random.default_rng(2).integers(0, 20, (300, 300))
    values[140:182, 140:182] = np.linspace(2000, 4000, 42).astype(int)
    assert content_range(values.astype(np.uint16)) == (0, 4000)


def test_eight_bits_spread_over_sixteen_are_what_they_were(grey):
    narrow = np.clip(grey, 60, 180).astype(np.uint8)
    np.testing.assert_array_equal(decode_full(deep(narrow.astype(int) * 257)), narrow)
    np.testing.assert_array_equal(decode_full(cv2.imencode(".png", narrow)[1].tobytes()), narrow)


def test_range_of_a_picture_that_is_mostly_one_value():
    values = np.full((100, 100), 7, np.uint16)
    values[5, 5] = 4000
    assert content_range(values) == (7, 4000)


def test_usual_pictures_have_no_remark(grey):
    assert exposure_remark(grey.astype(np.uint8)) == ""


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda grey: grey // 16, "dark"),
        (lambda grey: grey // 4, "dark"),
        (lambda grey: 255 - grey // 16, "bright"),
        (lambda grey: 120 + grey // 8, "flat"),
    ],
)
def test_unusual_pictures_are_named(change, word, grey):
    assert exposure_remark(change(grey).astype(np.uint8)).startswith(f"unusually {word}: ")
