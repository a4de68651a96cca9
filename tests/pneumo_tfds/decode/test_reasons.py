"""What a file says of itself: what makes it unfit for a model, and what is only remarked."""

import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from image_files import dicom, jpeg, partly_coloured, picture, png_chunk
from pneumo_tfds.decode import decode
from pneumo_tfds.decode.colour import colour_of_file
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.decode.reasons import Reasons, reasons_to_doubt

GREY = picture(1, 320, 240)
THREE = np.dstack([GREY] * 3)
TINTED = np.dstack([GREY, GREY // 2, GREY // 3])


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def said(data):
    return colour_of_file(data, read_header(data))


@pytest.mark.parametrize("encode", [jpeg, png])
def test_colour_is_told_from_grey_in_three_channels(encode):
    assert said(encode(GREY)) == said(encode(THREE)) == ""
    assert re.fullmatch(r"in colour: (8|9)\d % of the picture|in colour: 100 % of the picture", said(encode(TINTED)))


def test_noise_in_the_colours_of_a_jpeg_and_small_marks_are_no_colour():
    noisy = np.clip(THREE + np.random.default_rng(0).normal(0, 12, THREE.shape), 0, 255).astype(np.uint8)
    assert said(jpeg(noisy)) == ""
    marked = THREE.copy()
    marked[:40, :60] = (0, 0, 255)  # a red label, 3 % of the picture
    assert reasons_to_doubt(jpeg(marked), GREY, model_side=192).unfit == ()


def test_colours_of_a_palette_and_behind_transparency_count():
    blue = np.dstack([TINTED, np.full_like(GREY, 255)])
    assert said(png(blue)) == said(png(TINTED))
    for divisors, expected in (((1, 1, 1), ""), ((1, 2, 3), said(png(TINTED[..., ::-1])))):
        palette = bytes(level // divisor for level in range(256) for divisor in divisors)
        assert said(png_of_palette(palette)) == expected


def png_of_palette(palette):
    """The picture as an 8-bit PNG of indices into a palette."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", GREY.shape[1], GREY.shape[0], 8, 3, 0, 0, 0))
    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    body = png_chunk(b"PLTE", palette) + png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + body + png_chunk(b"IEND")


def test_colour_and_size_make_unfit_for_a_model_only():
    small = cv2.resize(TINTED, (95, 190))
    found = reasons_to_doubt(png(small), small[..., 0], model_side=192)
    assert [text.partition(":")[0] for text in found.unfit] == [
        "in colour", "only 95 x 190 pixels, fewer than X-ray detectors have",
    ]  # fmt: skip
    assert reasons_to_doubt(png(small), small[..., 0], model_side=190).unfit[1:] == ()
    assert reasons_to_doubt(png(small), small[..., 0]) == Reasons((), found.unfit[:1])


@pytest.mark.parametrize(
    ("width", "height", "unfit"),
    [(100, 200, False), (99, 200, True), (400, 100, False), (401, 100, True), (100, 3000, True)],
)
def test_a_picture_of_no_x_rays_shape_is_unfit_for_a_model_only(width, height, unfit):
    stretched = cv2.resize(GREY, (width, height))
    said = (f"{width} x {height} pixels are not the shape of a chest X-ray",) * unfit
    assert reasons_to_doubt(png(stretched), stretched, model_side=64).unfit == said
    assert reasons_to_doubt(png(stretched), stretched).unfit == ()


def test_a_picture_on_its_side_may_be_a_wide_one():
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(cv2.resize(GREY, (100, 300))).save(file, "JPEG", exif=exif)
    assert reasons_to_doubt(file.getvalue(), GREY, model_side=64).unfit == ()


def test_the_header_of_a_dicom_file_tells_its_shape():
    pytest.importorskip("pydicom", reason="needs the dicom extra")
    data = dicom(cv2.resize(GREY, (500, 100)), Modality="DX")
    found = reasons_to_doubt(data, GREY, model_side=64).unfit
    assert found == ("500 x 100 pixels are not the shape of a chest X-ray",)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colour_and_size_of_a_dicom_file_make_it_unfit_as_those_of_a_png(photometric):
    pytest.importorskip("pydicom", reason="needs the dicom extra")
    rgb = cv2.resize(TINTED, (95, 190))[..., ::-1]
    stored = rgb if photometric == "RGB" else cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": photometric, "PlanarConfiguration": 0}
    data, doubts = dicom(np.ascontiguousarray(stored), **tags), []
    grey = decode(data, 64, doubts=doubts)
    found = reasons_to_doubt(data, grey, doubts=doubts, model_side=192)
    assert [text.partition(":")[0] for text in found.unfit] == [
        "in colour", "only 95 x 190 pixels, fewer than X-ray detectors have",
    ]  # fmt: skip
    assert not any("colour" in text for text in found.remarks)
    assert reasons_to_doubt(data, grey, doubts=doubts, model_side=190).unfit == found.unfit[:1]
    assert reasons_to_doubt(data, grey, doubts=doubts) == Reasons((), found.unfit[:1])


def test_darkness_and_doubts_are_remarks():
    found = reasons_to_doubt(png(GREY // 16), GREY // 16, doubts=["the window was not believed"], model_side=192)
    assert found.unfit == ()
    assert found.remarks[0].startswith("unusually dark")
    assert found.remarks[1] == "the window was not believed"


def test_a_header_makes_unfit_or_is_remarked():
    pytest.importorskip("pydicom", reason="needs the dicom extra")
    data = dicom(GREY, Modality="CT", PatientAge="047Y", PresentationIntentType="FOR PROCESSING")
    found = reasons_to_doubt(data, GREY, model_side=192, paediatric=True)
    assert found.unfit == ("modality CT is not radiography", "patient is 47 years old")
    assert "FOR PROCESSING" in found.remarks[0]
    assert reasons_to_doubt(data, GREY).unfit == ("modality CT is not radiography",)


@pytest.mark.parametrize(("age", "unfit"), [("017Y", ()), ("018Y", ("patient is 18 years old",))])
def test_patients_are_adults_for_a_model_of_children_from_18_on(age, unfit):
    pytest.importorskip("pydicom", reason="needs the dicom extra")
    data = dicom(GREY, Modality="DX", PatientAge=age)
    assert reasons_to_doubt(data, GREY, model_side=192, paediatric=True).unfit == unfit
    assert reasons_to_doubt(data, GREY, model_side=192).unfit == ()


@pytest.mark.parametrize(("blocks", "unfit"), [(9, ()), (12, ("in colour: 12 % of the picture",))])
def test_a_picture_is_in_colour_from_a_tenth_of_its_blocks_on(blocks, unfit):
    coloured = partly_coloured(blocks)
    assert reasons_to_doubt(png(coloured), coloured[..., 0], model_side=80).unfit == unfit
