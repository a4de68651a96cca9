"""Tell pictures in real colour, such as photographs, from grey ones that are stored in three channels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode.headers import Header
from pneumo_tfds.decode.jpeg import colours
from pneumo_tfds.decode.png import COLOURED, decode_png_colours

BLOCK, APART, COLOURFUL = 8, 16, 0.1
"""Side of a block in pixels; grey levels by which the channels of a coloured block differ at least; and the part of the
blocks that makes a picture coloured. None of 788 chest X-rays has a coloured block, and 405 of them are in three
channels. A tinted X-ray has 1 %, an ultrasound image with coloured marks 9 %; 25 of 27 photographs have over 10 %."""

IN_COLOUR = "in colour: "
"""How the remark begins."""


def colour_of_file(data: bytes, header: Header, name: str = "image") -> str:
    """Return a remark if the picture of a file is in colour; empty if not, and for DICOM and JPEGs of four components.

    Args:
        data: the file, which was decoded without an error.
        header: what `read_header` returned for it.
        name: the image's name in error messages.
    """
    if header.format == "JPEG" and header.components == 3:
        return _remark(colours(data, name))
    if header.format == "PNG" and data[25] in COLOURED:
        return colour_remark(decode_png_colours(data, header, name))
    return ""


def colour_remark(picture: npt.NDArray[np.uint8]) -> str:
    """Return a remark if uint8 `[height, width, 3]` is in colour; else empty."""
    across, down = (-(-side // BLOCK) for side in picture.shape[1::-1])
    return _remark(np.asarray(cv2.resize(picture, (across, down), interpolation=cv2.INTER_AREA), np.uint8))


def _remark(blocks: npt.NDArray[np.uint8]) -> str:
    """Judge mean colours of blocks and not pixels, because a JPEG stores colours in a lower resolution, with noise."""
    part = float(np.mean(np.ptp(blocks, axis=2) > APART))
    return f"{IN_COLOUR}{100 * part:.0f} % of the picture" if part > COLOURFUL else ""
