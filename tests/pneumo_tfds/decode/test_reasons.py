"""What a file says of itself: what makes it unfit for a model, and what is only remarked."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from image_files import dicom, jpeg, picture, png_chunk
from pneumo_tfds.decode.colour import coloured_part
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.decode.reasons import Reasons, reasons_to_doubt

GREY = picture(1, 320, 240)
THREE = np.dstack([GREY] * 3)
TINTED = np.dstack([GREY, GREY // 2, GREY // 3])


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def part(data):
    return coloured_part(data, read_header(data))


@pytest.mark.parametrize("encode", [jpeg, png])
def test_colour_is_told_from_grey_in_three_channels(encode):
    assert part(encode(GREY)) == part(encode(THREE)) == 0
    assert part(encode(TINTED)) > 0.8


def test_noise_in_the_colours_of_a_jpeg_and_small_marks_are_no_colour():
    noisy = np.clip(THREE + np.random.default_rng(0).normal(0, 12, THREE.shape), 0, 255).astype(np.uint8)
    assert part(jpeg(noisy)) < 0.01
    marked = THREE.copy()
    marked[:40, :60] = (0, 0, 255)  # a red label, 3 % of the picture
    assert 0.01 < part(jpeg(marked)) < 0.1
    assert reasons_to_doubt(jpeg(marked), GREY, model_side=192).unfit == ()


def test_colours_of_a_palette_and_behind_transparency_count():
    blue = np.dstack([TINTED, np.full_like(GREY, 255)])
    assert part(png(blue)) == pytest.approx(part(png(TINTED)))
    for divisors, expected in (((1, 1, 1), 0.0), ((1, 2, 3), part(png(TINTED[..., ::-1])))):
        palette = bytes(level // divisor for level in range(256) for divisor in divisors)
        assert part(png_of_palette(palette)) == pytest.approx(expected)


def png_of_palette(palette):
    """The picture as an 8-bit PNG of indices into a palette."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", GREY.shape[1], GREY.shape[0], 8, 3, 0, 0, 0))
    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    body = png_chunk(b"PLTE", palette) + png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + body + png_chunk(b"IEND")


def test_colour_and_size_are_judged_for_a_model_only():
    small = cv2.resize(TINTED, (95, 200))
    found = reasons_to_doubt(png(small), small[..., 0], model_side=192)
    assert [text.partition(":")[0] for text in found.unfit] == [
        "in colour", "only 95 x 200 pixels, fewer than X-ray detectors have",
    ]  # fmt: skip
    assert reasons_to_doubt(png(small), small[..., 0], model_side=190).unfit[1:] == ()
    assert reasons_to_doubt(png(small), small[..., 0]) == Reasons()


def test_darkness_and_doubts_are_remarks():
    found = reasons_to_doubt(png(GREY // 16), GREY // 16, doubts=["the window was not believed"], model_side=192)
    assert found.unfit == ()
    assert found.remarks[0] == "the window was not believed"
    assert found.remarks[1].startswith("unusually dark")


def test_a_header_makes_unfit_or_is_remarked():
    pytest.importorskip("pydicom", reason="needs the dicom extra")
    data = dicom(GREY, Modality="CT", PatientAge="047Y", PresentationIntentType="FOR PROCESSING")
    found = reasons_to_doubt(data, GREY, model_side=192, paediatric=True)
    assert found.unfit == ("modality CT is not radiography", "patient is 47 years old")
    assert "FOR PROCESSING" in found.remarks[0]
    assert reasons_to_doubt(data, GREY).unfit == ("modality CT is not radiography",)
