"""Squeeze, crop and pad: where the pixels of a picture end in the square, for pictures of every shape."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pneumo_tfds.decode import decode, decode_full, decode_whole, resize
from pneumo_tfds.decode.framing import Box, covering_side, source_box, target_box, within

SHAPES = {"wide": (300, 200), "tall": (150, 401), "square": (64, 64), "tiny": (20, 16), "strip": (2000, 16)}


def png(grey: np.ndarray) -> bytes:
    return cv2.imencode(".png", grey)[1].tobytes()


@pytest.mark.parametrize(
    ("width", "height", "framing", "source", "target"),
    [
        (300, 200, "squeeze", Box(0, 0, 300, 200), Box(0, 0, 64, 64)),
        (300, 200, "crop", Box(50, 0, 200, 200), Box(0, 0, 64, 64)),
        (201, 300, "crop", Box(0, 49, 201, 201), Box(0, 0, 64, 64)),  # an odd pixel is cut off at the far side
        (300, 200, "pad", Box(0, 0, 300, 200), Box(0, 10, 64, 43)),  # 42.67 rows, and the odd one below
        (200, 300, "pad", Box(0, 0, 200, 300), Box(10, 0, 43, 64)),
        (128, 3, "pad", Box(0, 0, 128, 3), Box(0, 31, 64, 2)),  # 1.5 rows, rounded half up
        (2000, 10, "pad", Box(0, 0, 2000, 10), Box(0, 31, 64, 1)),  # never none at all
        (64, 64, "pad", Box(0, 0, 64, 64), Box(0, 0, 64, 64)),
        (64, 64, "crop", Box(0, 0, 64, 64), Box(0, 0, 64, 64)),
    ],
)
def test_boxes_follow_the_documented_integer_rules(width, height, framing, source, target):
    assert source_box(width, height, framing) == source
    assert target_box(width, height, 64, framing) == target


@pytest.mark.parametrize("shape", SHAPES)
def test_squeeze_shows_the_whole_picture_everywhere(shape, picture):
    width, height = SHAPES[shape]
    grey = picture(1, width, height)
    how = cv2.INTER_AREA if min(width, height) >= 48 else cv2.INTER_LINEAR
    np.testing.assert_array_equal(decode(png(grey), 48)[:, :, 0], cv2.resize(grey, (48, 48), interpolation=how))


@pytest.mark.parametrize("shape", SHAPES)
def test_crop_shows_the_centred_square_alone(shape, picture):
    width, height = SHAPES[shape]
    grey = picture(2, width, height)
    side, left, top = min(width, height), (width - min(width, height)) // 2, (height - min(width, height)) // 2
    cut = grey[top : top + side, left : left + side]
    np.testing.assert_array_equal(decode(png(grey), 48, framing="crop"), decode(png(cut), 48))


@pytest.mark.parametrize("shape", SHAPES)
def test_pad_keeps_the_aspect_ratio_and_is_black_beside_the_picture(shape, picture):
    width, height = SHAPES[shape]
    grey = np.maximum(picture(3, width, height), 9)
    square = decode(png(grey), 48, framing="pad")[:, :, 0]
    rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
    down, across = len(rows), len(columns)
    assert max(down, across) == 48
    assert abs(min(down, across) - max(1, 48 * min(width, height) / max(width, height))) <= 0.5
    for found, length in ((rows, down), (columns, across)):
        assert found[0] == (48 - length) // 2
        assert found[-1] - found[0] + 1 == length, "the bars are beside the picture, not in it"
    smaller = width >= across and height >= down
    expected = cv2.resize(grey, (across, down), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    np.testing.assert_array_equal(square[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], expected)


@pytest.mark.parametrize("framing", ["squeeze", "crop", "pad"])
def test_a_square_picture_is_the_same_with_every_framing(framing, picture):
    data = png(picture(4, 100, 100))
    np.testing.assert_array_equal(decode(data, 40, framing=framing), decode(data, 40))


@pytest.mark.parametrize(
    ("framing", "size", "shape"),
    [
        ("squeeze", 125, (125, 175)),  # the shorter side covers the square
        ("crop", 125, (125, 175)),
        ("crop", 126, (250, 350)),
        ("pad", 175, (125, 175)),  # the longer one does
        ("pad", 176, (250, 350)),
    ],
)
def test_the_smallest_jpeg_scale_without_loss_is_decoded(framing, size, shape, picture, jpeg):
    assert decode_full(jpeg(picture(5, 1400, 1000)), cover=size, framing=framing).shape == shape


@pytest.mark.parametrize("framing", ["crop", "pad"])
@pytest.mark.parametrize("size", [32, 100, 150, 224])
def test_scaled_decode_is_close_to_a_full_decode(framing, size, picture, jpeg):
    data = jpeg(picture(6, 1400, 1000))
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    found, expected = decode(data, size, framing=framing), resize(whole, size, framing)
    assert np.abs(found.astype(int) - expected).mean() < 1.0


def test_reducing_a_jpeg_never_makes_it_smaller_than_the_square_needs():
    random = np.random.default_rng(0)
    for width, height, size in random.integers((16, 16, 16), (3000, 3000, 300), (2000, 3)).tolist():
        for framing in ("squeeze", "crop", "pad"):
            scale = next((k for k in (8, 4, 2) if covering_side(width, height, framing) >= k * size), 1)
            if scale > 1:
                across, down = -(-width // scale), -(-height // scale)
                part, target = source_box(across, down, framing), target_box(across, down, size, framing)
                assert part.width >= target.width
                assert part.height >= target.height


def test_a_whole_picture_keeps_its_aspect_ratio(picture, jpeg):
    assert decode_whole(jpeg(picture(7, 1400, 1000)), 512).shape == (366, 512)
    assert decode_whole(jpeg(picture(8, 40, 60)), 512).shape == (512, 341)
    grey = picture(9, 96, 72)
    np.testing.assert_array_equal(within(grey, 96), grey)
