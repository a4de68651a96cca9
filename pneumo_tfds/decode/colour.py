"""Tell pictures in real colour from grey ones that are stored in three channels."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

from pneumo_tfds.decode.headers import DecodeError, Header
from pneumo_tfds.decode.png import COLOURED, decode_png_colours

BLOCK, APART, COLOURFUL = 8, 16, 0.1
"""Side of a block in pixels; grey levels by which the channels of a coloured block differ at least; and the part of the
blocks that makes a picture coloured. None of 788 chest X-rays has a coloured block, and 405 of them are in three
channels. A tinted X-ray has 1 %, an ultrasound image with coloured marks 9 %; 25 of 27 photographs have over 10 %."""


def coloured_part(data: bytes, header: Header, name: str = "image") -> float:
    """Return the part of a picture that is coloured, 0 to 1; 0 for DICOM and for JPEGs of four components.

    Blocks are compared and not pixels, because a JPEG stores colours in a lower resolution, with noise.

    Args:
        data: the file, which was decoded without an error.
        header: what `read_header` returned for it.
        name: the image's name in error messages.
    """
    if header.format == "JPEG" and header.components == 3:
        try:
            blocks = simplejpeg.decode_jpeg(data, "BGR", min_height=1, min_width=1, strict=False)  # at 1/8
        except ValueError as error:
            raise DecodeError(f"{name}: its colours cannot be read; save it again as an ordinary JPEG") from error
    elif header.format == "PNG" and data[25] in COLOURED:
        picture = decode_png_colours(data, header, name)
        across, down = (-(-side // BLOCK) for side in picture.shape[1::-1])
        blocks = cv2.resize(picture, (across, down), interpolation=cv2.INTER_AREA)
    else:
        return 0.0
    return float(np.mean(np.ptp(blocks, axis=2) > APART))
