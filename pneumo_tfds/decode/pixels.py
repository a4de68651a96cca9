"""Decode an X-ray to a square of grey levels.

A JPEG is decoded at 1/2, 1/4 or 1/8 of its size (averaged by the inverse DCT), the smallest scale that still covers the
target, and then resized to the target by area averaging. This is two to four times as fast as decoding it whole. What
happens to the aspect ratio is the framing (`pneumo_tfds.decode.framing`): by default it is not kept, as in the study.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode.dicom import decode_dicom
from pneumo_tfds.decode.exposure import levels_remark
from pneumo_tfds.decode.framing import covering_side, frame, within
from pneumo_tfds.decode.grey_range import to_eight_bits
from pneumo_tfds.decode.headers import DecodeError, Header, read_header
from pneumo_tfds.decode.jpeg import decode_jpeg
from pneumo_tfds.decode.masks import has_two_levels
from pneumo_tfds.decode.png import decode_png
from pneumo_tfds.program.framing_names import DEFAULT_FRAMING, Framing

Grey = npt.NDArray[np.uint8]


def decode(
    data: bytes,
    size: int,
    name: str = "image",
    framing: Framing = DEFAULT_FRAMING,
    doubts: list[str] | None = None,
) -> Grey:
    """Decode an image file to a grey square.

    Args:
        data: a JPEG (grey, RGB or CMYK), a PNG (8 or 16 bit, with or without colour and alpha) or, with the `dicom`
            extra, a DICOM file. EXIF orientation is applied; transparent pixels become black; the range of 16-bit
            values follows the content (`pneumo_tfds.decode.grey_range`).
        size: side of the square in pixels, at least 1.
        name: the image's name in error messages.
        framing: how a picture that is not square becomes one: `squeeze`, `crop` or `pad`.
        doubts: if given, what is unusual about its picture, or is said of it and was not believed, is added here.

    Returns:
        uint8 `[size, size, 1]`, 0 (black, air) to 255 (white, bone).

    Raises:
        DecodeError: the bytes are of another format, truncated, damaged, of a size that is not read, or hold no picture
            of an X-ray (all pixels are equal or of two grey levels).
    """
    return resize(decode_full(data, name, cover=size, framing=framing, doubts=doubts), size, framing)


def decode_full(
    data: bytes,
    name: str = "image",
    cover: int | None = None,
    header: Header | None = None,
    framing: Framing = DEFAULT_FRAMING,
    doubts: list[str] | None = None,
) -> Grey:
    """Decode like `decode`, but to uint8 `[height, width]` at the image's own size.

    A JPEG is decoded at the smallest scale that covers a square of `cover` pixels with this framing, if given. `header`
    is what `read_header` returned for the file, if that was called already.
    """
    header = header or read_header(data, name)
    if header.format == "DICOM":
        grey, doubt = decode_dicom(data, name)
        if doubt and doubts is not None:
            doubts.append(doubt)
    elif header.format == "JPEG":
        cover = cover or max(header.width, header.height)
        side = covering_side(header.width, header.height, framing)
        scale = next((scale for scale in (8, 4, 2) if side >= scale * cover), 1)
        grey = decode_jpeg(data, header, scale, name)
    else:
        grey = to_eight_bits(decode_png(data, header, name, doubts))
    low, high = (int(level) for level in cv2.minMaxLoc(grey)[:2])
    if low < high and not has_two_levels(grey, low, high):
        if doubts is not None and header.format != "JPEG" and (remark := levels_remark(grey)):
            doubts.append(remark)
        return grey
    if header.alpha:
        decode_full(data, name, cover, replace(header, alpha=False), framing)  # raises if there is no picture either
        raise DecodeError(f"{name}: is transparent where its picture is; save it without transparency or remove it")
    if low == high:
        raise DecodeError(f"{name}: holds no picture, all pixels have the same value; replace or remove the file")
    raise DecodeError(
        f"{name}: has two grey levels and hardly another, so it looks like a mask or a drawing, not an X-ray; remove it"
    )


def decode_whole(data: bytes, longest: int, name: str = "image") -> Grey:
    """Decode like `decode`, but to uint8 `[height, width]` of the picture's aspect ratio, its longer side `longest`."""
    return within(decode_full(data, name, cover=longest, framing="pad"), longest)


def resize(grey: Grey, size: int, framing: Framing = DEFAULT_FRAMING) -> Grey:
    """Fit uint8 `[height, width]` into `[size, size, 1]` by area averaging, or linearly where it must enlarge."""
    return np.reshape(frame(grey, size, framing), (size, size, 1))
