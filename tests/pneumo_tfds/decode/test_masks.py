"""Pictures of two grey levels are refused as masks; nothing that has greys between is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pneumo_tfds.decode import DecodeError, decode_full


def mask(low: int, high: int, side: int = 224) -> np.ndarray:
    """Two lungs."""
    drawn = np.full((side, side), low, np.uint8)
    for third, angle in ((1, 10), (2, -10)):
        cv2.ellipse(drawn, (third * side // 3, side // 2), (side // 8, side // 4), angle, 0, 360, high, -1)
    return drawn


def saved(pixels, kind: str, *flags: int) -> bytes:
    return cv2.imencode(kind, pixels, list(flags))[1].tobytes()


@pytest.mark.parametrize("levels", [(0, 255), (255, 0), (0, 1), (0, 128), (60, 200)])
@pytest.mark.parametrize("side", [64, 224, 1000])
def test_masks_are_refused_and_named(levels, side):
    with pytest.raises(
        DecodeError, match=r"^a/b\.png: has two grey levels and hardly another, so it looks like a mask"
    ):
        decode_full(saved(mask(*levels, side), ".png"), "a/b.png")


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("levels", [(0, 255), (255, 0), (40, 220)])
@pytest.mark.parametrize("cover", [None, 224])
def test_masks_saved_as_jpeg_are_refused(quality, levels, cover):
    data = saved(mask(*levels, 500), ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality)
    with pytest.raises(DecodeError, match="looks like a mask"):
        decode_full(data, cover=cover)


def test_a_document_in_black_and_white_is_refused():
    page = np.full((600, 450), 255, np.uint8)
    for top in range(20, 600, 30):
        cv2.putText(page, "Findings: none", (10, top), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 0, 1, cv2.LINE_8)
    page = np.where(page < 128, 0, 255).astype(np.uint8)
    with pytest.raises(DecodeError, match="looks like a mask"):
        decode_full(saved(page, ".png"))


def test_pictures_with_greys_between_are_none(picture):
    grey = picture(1, 224, 224)
    black_frame = np.pad(grey, 150)
    contrasty = np.clip((grey.astype(int) - 128) * 3 + 128, 0, 255).astype(np.uint8)
    dark = (grey // 16).astype(np.uint8)
    for fine in (grey, black_frame, contrasty, dark):
        decode_full(saved(fine, ".png"))
        decode_full(saved(fine, ".jpg"))
