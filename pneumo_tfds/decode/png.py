"""Decode a PNG to grey levels.

libpng prints what it thinks of colour profiles, texts and damage on standard error, without the file's name. So it is
given only the chunks that make the picture, with their checksums verified, and the pixels inflated already: it has
nothing to say about them then.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode.headers import CHANNELS, PNG_SIGNATURE, TURNED, DecodeError, Header, png_chunks
from pneumo_tfds.decode.opencv import imdecode

STRIP = 256
"""Rows of an image with transparency that are converted at once."""

MOST_UNPACKED = 64 << 20
"""Bytes of a picture that is inflated here, which takes some memory more; 32 million pixels of 16 bits."""

HEADER_END = 33
"""Bytes of the signature and the chunk with the header, with which a PNG begins."""

LONGEST = 1_000_000
"""Pixels a side that libpng reads."""

_SLACK = 64 << 10
"""Bytes behind the picture that are looked at."""

_GREY, _RGB, _PALETTE = 0, 2, 3
COLOURED = (_RGB, _PALETTE, 6)
"""Colour types that may hold colours (PNG specification, table 11.1)."""
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits of a sample by colour type (PNG specification, table 11.1)."""
_INTERLACED = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
"""First column, first row and steps of the passes (PNG specification, 8.2)."""


def decode_png(data: bytes, header: Header, name: str, doubts: list[str] | None = None) -> npt.NDArray[np.generic]:
    """Decode to uint8 or uint16 `[height, width]`, turned as its EXIF data says; transparent pixels become black.

    That some are transparent and not black already is added to `doubts`.

    Raises:
        DecodeError: a checksum is wrong, or the chunks do not make a picture of the size that is declared.
    """
    picture = _clean(data, header, name)
    if header.alpha:
        image = imdecode(picture, cv2.IMREAD_UNCHANGED, name)
        if image.shape[2:] == (4,):  # not so if the transparency chunk is damaged or out of place
            grey = _on_black(image)
            if doubts is not None and not np.array_equal(grey, cv2.cvtColor(image, cv2.COLOR_BGRA2GRAY)):
                doubts.append("partly transparent, and darker there than its colours say")
            return _turned(grey, picture, name)
    return imdecode(picture, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH, name)


def _turned(grey: npt.NDArray[np.generic], picture: bytes, name: str) -> npt.NDArray[np.generic]:
    """Return a picture turned as the EXIF data of its PNG say, which OpenCV does not do to one with transparency."""
    chunks = (picture[start : start + length + 12] for kind, start, length in png_chunks(picture) if kind == b"eXIf")
    exif = next(chunks, b"")
    if not exif:
        return grey
    plain = cv2.imencode(".png", grey, (cv2.IMWRITE_PNG_COMPRESSION, 0))[1].tobytes()
    return imdecode(plain[:HEADER_END] + exif + plain[HEADER_END:], cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH, name)


def decode_png_colours(data: bytes, header: Header, name: str) -> npt.NDArray[np.uint8]:
    """Decode to uint8 `[height, width, 3]`, without transparency; raises like `decode_png`."""
    return np.asarray(imdecode(_clean(data, header, name), cv2.IMREAD_COLOR, name), dtype=np.uint8)


def _clean(data: bytes, header: Header, name: str) -> bytes:
    """Return the PNG with only the chunks that make its picture, each once, and its pixels unpacked and checked.

    Pixels that take more than `MOST_UNPACKED` bytes stay packed, and are judged by libpng.
    """
    parts: dict[bytes, bytes] = {}
    packed: list[memoryview] = []
    colours, whole = 0, memoryview(data)
    for kind, position, length in png_chunks(data):
        start, end = position + 8, position + 8 + length
        if kind in parts or kind == b"IEND":
            continue
        if kind == b"PLTE":
            keep, colours = data[25] == _PALETTE, 0 if length % 3 else length // 3
        elif kind == b"tRNS":
            most = {_GREY: 2, _RGB: 6, _PALETTE: colours}.get(data[25], 0)
            keep = not packed and 0 < length <= most and (data[25] == _PALETTE or length == most)
        elif kind == b"eXIf":  # OpenCV turns the picture as it says
            keep = data[start : start + 4] in (b"II*\0", b"MM\0*") and bool(TURNED.search(data, start, end))
        elif kind in (b"IHDR", b"IDAT"):
            keep = True
        else:
            keep = False
            if kind[:1].isupper():
                raise DecodeError(f"{name}: the PNG is damaged, it has a part of unknown kind; copy it again")
        if keep and zlib.crc32(whole[position + 4 : end]) != struct.unpack(">I", data[end : end + 4])[0]:
            raise DecodeError(f"{name}: the PNG is damaged, a checksum is wrong; copy it again or remove it")
        if keep and kind == b"IDAT":
            packed.append(whole[start:end])
        elif keep:
            parts[kind] = data[start:end]
    if not _is_sound(parts[b"IHDR"], colours):
        raise DecodeError(f"{name}: the PNG is damaged, its header makes no sense; copy it again or remove it")
    rows = _rows(header, parts[b"IHDR"])
    if sum(count * size for count, size in rows) <= MOST_UNPACKED:
        packed = [memoryview(zlib.compress(_unpacked(packed, rows, name), 0))]
    chunks: list[tuple[bytes, bytes | memoryview]] = [
        *parts.items(),
        *((b"IDAT", part) for part in packed),
        (b"IEND", b""),
    ]
    return PNG_SIGNATURE + b"".join(piece for kind, content in chunks for piece in _chunk(kind, content))


def _chunk(kind: bytes, content: bytes | memoryview) -> tuple[bytes, bytes | memoryview, bytes]:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I4s", len(content), kind), content, struct.pack(">I", checksum)


def _is_sound(ihdr: bytes, colours: int) -> bool:
    """Return whether a header of 13 bytes is one of the PNG specification (11.2.1), and a palette fits."""
    if len(ihdr) != 13 or max(struct.unpack(">II", ihdr[:8])) > LONGEST:
        return False
    bits, colour, compression, filters, interlace = ihdr[8:]
    if compression or filters or interlace > 1 or bits not in _DEPTHS.get(colour, ()):
        return False
    return colour != _PALETTE or 0 < colours <= 1 << bits


def _rows(header: Header, ihdr: bytes) -> list[tuple[int, int]]:
    """Return number and size in bytes of the rows of each pass; each row starts with the number of its filter."""
    passes = _INTERLACED if ihdr[12] else [(0, 0, 1, 1)]
    pixel_bits = ihdr[8] * CHANNELS[ihdr[9]]
    found = []
    for left, top, across, down in passes:
        width, height = -(-(header.width - left) // across), -(-(header.height - top) // down)
        found.append((height, 1 + -(-width * pixel_bits // 8)))
    return found


def _unpacked(packed: Sequence[bytes | memoryview], rows: Sequence[tuple[int, int]], name: str) -> bytes:
    """Inflate the pixels; raise DecodeError if that is not possible or does not give these rows. Zeros may follow."""
    size = sum(count * length for count, length in rows)
    try:
        content = zlib.decompressobj().decompress(b"".join(packed), size + _SLACK)
    except zlib.error as error:
        raise DecodeError(f"{name}: the PNG is damaged, its pixels cannot be unpacked; copy it again") from error
    if len(content) < size or (len(content) > size and content[size:].strip(b"\0")):
        what = "fewer" if len(content) < size else "more"
        raise DecodeError(f"{name}: the PNG is damaged, it has {what} pixels than it declares; copy it again")
    at = 0
    for count, length in rows:
        if max(content[at : at + count * length : length]) > 4:
            raise DecodeError(f"{name}: the PNG is damaged, a row is packed in an unknown way; copy it again")
        at += count * length
    return content[:size]


def _on_black(image: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Convert BGRA `[height, width, 4]` to grey on black, in strips, because it takes 16 bytes per pixel."""
    whole = np.float32(255.0 if image.dtype == np.uint8 else 65535.0)
    grey = np.empty(image.shape[:2], image.dtype)
    for top in range(0, len(image), STRIP):
        strip = image[top : top + STRIP]
        opaque = strip[:, :, 3].astype(np.float32) / whole
        grey[top : top + STRIP] = np.rint(cv2.cvtColor(strip[:, :, :3], cv2.COLOR_BGR2GRAY).astype(np.float32) * opaque)
    return grey
