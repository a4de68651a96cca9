"""Read format and size of an image file before any pixel is decoded, and refuse files that must not be decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.limits import MAX_CHUNKS, MAX_DEEP_PIXELS, MAX_INFLATION, MAX_PIXELS, MAX_SCANS, MIN_SIDE

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE = 0xC0
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel by the colour type of a PNG (PNG specification, table 11.1)."""
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})


HEAD_BYTES = 512
"""First bytes of a file by which `format_of` knows its format."""


class DecodeError(InputError):
    """One image cannot be read. The message starts with the image's name."""


@dataclass(frozen=True)
class Header:
    """What an image file declares about its pixels."""

    format: str
    """`JPEG`, `PNG` or `DICOM`."""
    width: int
    """Pixels, 0 if the format does not say up front."""
    height: int
    bits: int
    """Bits per sample as stored: 8 or 16; 12 is possible in JPEG and DICOM."""
    alpha: bool


def format_of(data: bytes) -> str | None:
    """Return `JPEG`, `PNG` or `DICOM` by the first bytes of a file, or None for any other."""
    if data.startswith(_JPEG):
        return "JPEG"
    if data.startswith(_PNG):
        return "PNG"
    return "DICOM" if data[128:132] == b"DICM" else None


def read_header(data: bytes, name: str = "image") -> Header:
    """Read format and size of an image file.

    Raises:
        DecodeError: the file is empty, of another format, truncated or animated, or its size is too small, too large
            (see `pneumo_tfds.program.limits`), or more than its bytes can hold.
    """
    if not data:
        raise DecodeError(f"{name}: the file is empty; copy it again or remove it")
    kind = format_of(data)
    if kind == "JPEG":
        return _jpeg_header(data, name)
    if kind == "PNG":
        return _png_header(data, name)
    if kind == "DICOM":
        return Header(kind, 0, 0, 16, False)
    raise DecodeError(f"{name}: not a JPEG, PNG or DICOM file, whatever its name is; convert or remove it")


def check_size(width: int, height: int, name: str, most: int = MAX_PIXELS) -> None:
    """Raise DecodeError for a declared size that is too small for a radiograph or too large to decode safely."""
    if min(width, height) < MIN_SIDE:
        raise DecodeError(f"{name}: only {width} x {height} pixels, at least {MIN_SIDE} a side are needed; remove it")
    if width * height > most:
        limit = f"{most // 1_000_000} million"
        raise DecodeError(f"{name}: declares {width} x {height} pixels, the limit is {limit}; shrink or remove it")


def _png_header(data: bytes, name: str) -> Header:
    """Return the header if the chunks are those of one still image and can hold as many pixels as it declares."""
    kinds, compressed = [], 0
    for kind, length in islice(_png_chunks(data), MAX_CHUNKS):
        kinds.append(kind)
        compressed += length if kind == b"IDAT" else 0
    if len(kinds) == MAX_CHUNKS:
        raise DecodeError(f"{name}: the PNG is in {MAX_CHUNKS:,} chunks or more; save it again")
    if kinds[:1] != [b"IHDR"] or kinds[-1] != b"IEND" or kinds.count(b"IHDR") > 1:
        raise DecodeError(f"{name}: the PNG is damaged or truncated; copy it again or remove it")
    if not _ANIMATION.isdisjoint(kinds):
        raise DecodeError(f"{name}: is an animated PNG; save a single image of it")
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    alpha = colour in (4, 6) or b"tRNS" in kinds
    check_size(width, height, name, MAX_DEEP_PIXELS if alpha else MAX_PIXELS)
    if width * height * bits * _CHANNELS.get(colour, 1) > 8 * compressed * MAX_INFLATION:
        raise DecodeError(f"{name}: {compressed:,} bytes cannot hold {width} x {height} pixels; copy the PNG again")
    return Header("PNG", width, height, bits, alpha)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield type and length of each chunk, up to the end of the image or of the data."""
    position = len(_PNG)
    while position + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        position += 12 + length
        if position > len(data):
            return
        yield kind, length
        if kind == b"IEND":
            return


def _jpeg_header(data: bytes, name: str) -> Header:
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        elif marker in _START_OF_FRAME and position + 10 <= len(data):
            bits, height, width, components = struct.unpack(">BHHB", data[position + 4 : position + 10])
            if data.rfind(b"\xff\xd9") < position:
                raise DecodeError(f"{name}: the JPEG is truncated; copy it again or remove it")
            # A baseline file of one component has one scan, and so have nearly all X-rays. Only the others are searched
            # for scans, because searching a file takes a tenth of the time of decoding it.
            one_scan = marker == _BASELINE and components == 1
            if not one_scan and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
                raise DecodeError(f"{name}: the JPEG has {scans:,} scans, the limit is {MAX_SCANS}; save it again")
            check_size(width, height, name)
            return Header("JPEG", width, height, bits, False)
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise DecodeError(f"{name}: the JPEG is damaged or truncated; copy it again or remove it")
