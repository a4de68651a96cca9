"""Decode a JPEG to grey levels, and refuse one that is damaged.

libjpeg goes on after damage: it fills what is missing with grey and warns on standard error. OpenCV hides that warning
from its caller, and simplejpeg (the same libjpeg-turbo, the same pixels) raises it.
"""

from __future__ import annotations

import re

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from pneumo_tfds.decode.headers import DecodeError, Header
from pneumo_tfds.decode.opencv import imdecode

REDUCED = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
"""OpenCV's flag for decoding at 1/1, 1/2, 1/4 or 1/8 of the size."""

_HARMLESS = "Invalid SOS parameters for sequential JPEG"
"""A warning of libjpeg about numbers that it then ignores."""

_PADDED = re.compile("Corrupt JPEG data: ([1-3]) extraneous bytes before marker 0xd9")
"""A warning about a file that was padded to a multiple of 4 bytes, if the bytes are zeros. Others are left over where
damage lies before them."""

_END = b"\xff\xd9"


def decode_jpeg(data: bytes, header: Header, scale: int, name: str) -> npt.NDArray[np.uint8]:
    """Decode to uint8 `[height, width]`, at 1/1, 1/2, 1/4 or 1/8 of the size that the header declares.

    OpenCV decodes the few files that simplejpeg cannot convert: those of four components, and those whose EXIF data
    may hold an orientation. They are decoded a second time, at 1/8, to see whether they are damaged.

    Raises:
        DecodeError: the bytes of the picture are damaged or some of them are missing.
    """
    if header.components in (1, 3) and not header.turned:
        return _strict(data, "GRAY", -(-header.height // scale), -(-header.width // scale), name)[0][:, :, 0]
    data = _strict(data, "CMYK" if header.components == 4 else "GRAY", 1, 1, name)[1]
    return np.asarray(imdecode(data, REDUCED[scale], name), dtype=np.uint8)


def colours(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Decode a JPEG of three components to uint8 `[height, width, 3]` in RGB, at 1/8 of its size."""
    return _strict(data, "RGB", 1, 1, name)[0]


def _strict(data: bytes, colours: str, height: int, width: int, name: str) -> tuple[npt.NDArray[np.uint8], bytes]:
    """Decode at the smallest scale that gives at least `height` and `width`; a warning of libjpeg is an error.

    Return uint8 `[height, width, channels]`, and the bytes without what libjpeg would warn of and is no damage.
    """
    if data[6:11] == b"JFIF\0" and data[11:12] != b"\1":  # no such version exists, and libjpeg warns of it
        data = data[:11] + b"\1\1" + data[13:]
    try:
        try:
            image = simplejpeg.decode_jpeg(data, colours, min_height=height, min_width=width)
        except ValueError as error:
            padded = _PADDED.fullmatch(str(error))
            at = data.rfind(bytes(int(padded[1])) + _END) if padded else -1
            if padded and at >= 0:
                data = data[:at] + data[at + int(padded[1]) :]
            elif str(error) != _HARMLESS:
                raise
            image = simplejpeg.decode_jpeg(data, colours, min_height=height, min_width=width, strict=False)
    except ValueError as error:
        raise DecodeError(
            f"{name}: the JPEG is damaged, part of its picture is missing or wrong; copy it again or remove it"
        ) from error
    return np.asarray(image, dtype=np.uint8), data
