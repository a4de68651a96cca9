"""Decode a PNG to grey levels.

libpng prints what it thinks of colour profiles, texts and damage on standard error, without the file's name. So it is
given only the chunks that make the picture, with their checksums verified.
"""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode.headers import PNG_SIGNATURE, TURNED, DecodeError, Header, png_chunks
from pneumo_tfds.decode.opencv import imdecode

STRIP = 256
"""Rows of an image with transparency that are converted at once."""

_GREY, _RGB, _PALETTE = 0, 2, 3


def decode_png(data: bytes, header: Header, name: str) -> npt.NDArray[np.generic]:
    """Decode to uint8 or uint16 `[height, width]`, turned as its EXIF data says; transparent pixels become black.

    Raises:
        DecodeError: a checksum is wrong, or the chunks do not make a picture.
    """
    picture = _picture_chunks(data, name)
    if header.alpha:
        image = imdecode(picture, cv2.IMREAD_UNCHANGED, name)
        if image.shape[2:] == (4,):  # not so if the transparency chunk is damaged or out of place
            return _on_black(image)
    return imdecode(picture, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH, name)


def _picture_chunks(data: bytes, name: str) -> bytes:
    """Return the PNG without the chunks that change no pixel."""
    kept, dropped, colours = [], False, 0
    colour = data[25]
    for kind, position, length in png_chunks(data):
        start, end = position + 8, position + 8 + length
        if kind == b"PLTE":
            keep, colours = colour == _PALETTE, length // 3
        elif kind == b"tRNS":
            most = {_GREY: 2, _RGB: 6, _PALETTE: colours}.get(colour, 0)
            keep = 0 < length <= most and (colour == _PALETTE or length == most)
        elif kind == b"eXIf":  # OpenCV turns the picture as it says
            keep = data[start : start + 4] in (b"II*\0", b"MM\0*") and bool(TURNED.search(data, start, end))
        elif kind in (b"IHDR", b"IDAT", b"IEND"):
            keep = True
        else:
            keep = False
            if kind[:1].isupper():
                raise DecodeError(f"{name}: the PNG is damaged, it has a part of unknown kind; copy it again")
        if keep and zlib.crc32(data[position + 4 : end]) != struct.unpack(">I", data[end : end + 4])[0]:
            raise DecodeError(f"{name}: the PNG is damaged, a checksum is wrong; copy it again or remove it")
        if keep:
            kept.append(slice(position, end + 4))
        dropped = dropped or not keep
    return PNG_SIGNATURE + b"".join(data[part] for part in kept) if dropped else data


def _on_black(image: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Convert BGRA `[height, width, 4]` to grey on black, in strips, because it takes 16 bytes per pixel."""
    whole = np.float32(255.0 if image.dtype == np.uint8 else 65535.0)
    grey = np.empty(image.shape[:2], image.dtype)
    for top in range(0, len(image), STRIP):
        strip = image[top : top + STRIP]
        opaque = strip[:, :, 3].astype(np.float32) / whole
        grey[top : top + STRIP] = np.rint(cv2.cvtColor(strip[:, :, :3], cv2.COLOR_BGR2GRAY).astype(np.float32) * opaque)
    return grey
