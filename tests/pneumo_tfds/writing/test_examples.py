"""The record of one image: what is unusual about its picture is said with it."""

from __future__ import annotations

import cv2
import pytest

from image_files import picture
from made_sources import header
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.writing.examples import BuildLog, process


class OneFile:
    """A source of one file."""

    def __init__(self, data):
        self.data = data

    def read(self, image):
        return self.data


def record(pixels, suffix, thumbnails=False):
    image = Image(f"1{suffix}", "NORMAL", "a", "normal", "", 1, -1)
    return process(OneFile(cv2.imencode(suffix, pixels)[1].tobytes()), image, 32, thumbnails=thumbnails)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("thumbnails", [False, True])
def test_a_picture_with_a_colour_map_is_unusual_and_a_grey_one_in_three_channels_is_not(suffix, thumbnails):
    grey = picture(3)
    mapped = record(cv2.applyColorMap(grey, cv2.COLORMAP_JET), suffix, thumbnails)
    assert mapped.unusual.startswith("in colour: ")
    assert mapped.data is not None, "it is used, as others that are unusual"
    log = BuildLog()
    log.add(mapped)
    assert log.unusual == {f"1{suffix}": mapped.unusual}
    assert not record(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), suffix, thumbnails).unusual


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_grey_file_is_decoded_once(suffix, monkeypatch):
    for name in ("pneumo_tfds.decode.colour.colours", "pneumo_tfds.decode.colour.decode_png_colours"):
        monkeypatch.setattr(name, None)
    assert record(picture(3), suffix).data


def test_a_dicom_file_whose_name_says_png_is_skipped_by_its_header():
    """`inspect` looks at the first bytes of a few files of each folder."""
    image = Image("1.png", "NORMAL", "a", "normal", "", 1, -1)
    skipped = process(OneFile(header(ViewPosition="LL")), image, 32)
    assert skipped.data is None
    assert skipped.error == "1.png: is DICOM, and by its header: view LL is not frontal; remove it"
    assert process(OneFile(header(ViewPosition="PA")), image, 32).data is not None
