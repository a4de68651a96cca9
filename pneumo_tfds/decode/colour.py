"""Tell pictures in colour, such as photographs and heat maps over X-rays, from X-rays, which are grey."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode.headers import CHANNELS, read_header
from pneumo_tfds.decode.jpeg import colours
from pneumo_tfds.decode.opencv import imdecode
from pneumo_tfds.decode.png import PALETTE, without_texts

SPREAD = 32
"""Grey levels between the channels of a pixel from which on it is coloured."""

COLOURED = 0.05
"""Share of coloured pixels above which a picture is in colour; 0.0005 at most on 520 chest X-rays in JPEG and PNG."""

_STEP = 8
"""Every so many rows and columns are looked at."""


def colour_of_file(data: bytes, name: str = "image") -> str:
    """Return a remark if the picture of a JPEG or PNG file that can be decoded is in colour; else empty."""
    header = read_header(data, name)
    if header.format == "JPEG" and header.components == 3:
        return colour_remark(colours(data, name))
    if header.format == "PNG" and (CHANNELS.get(data[25], 1) > 2 or data[25] == PALETTE):
        return colour_remark(imdecode(without_texts(data, header, name), cv2.IMREAD_COLOR, name)[::_STEP, ::_STEP])
    return ""


def colour_remark(picture: npt.NDArray[np.generic]) -> str:
    """Return a remark if uint8 `[height, width, 3]` is in colour; else empty."""
    spread = picture.max(axis=2).astype(np.int16) - picture.min(axis=2)
    share = float(np.mean(spread > SPREAD))
    return f"in colour: {share:.0%} of its pixels are not grey" if share > COLOURED else ""
