"""Read format and size of an image file before any pixel is decoded, and refuse files that must not be decoded."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pneumo_tfds.decode.other_files import no_image
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.limits import MAX_CHUNKS, MAX_DEEP_PIXELS, MAX_INFLATION, MAX_PIXELS, MAX_SCANS, MIN_SIDE

_JPEG, PNG_SIGNATURE = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
DICOM_PREFIX = b"DICM"
"""Stands behind 128 bytes that mean nothing."""
_TYPES = frozenset({b"UL", b"OB", b"UI", b"CS", b"SH", b"LO", b"DA", b"TM", b"DT", b"US", b"UN"})
"""Types that the elements have which may come first in a data set."""
_LONGEST_FIRST = 256
"""Bytes in the first element of a data set: a number, the name of a character set or the words of the image type."""
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_DECODED = frozenset({0xC0, 0xC1, 0xC9}) | _PROGRESSIVE
"""Frames of a JPEG that libjpeg decodes: baseline, extended and progressive, with Huffman or arithmetic coding."""
_START_OF_SCAN, _APP1 = 0xDA, 0xE1
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
TURNED = re.compile(rb"\x01\x12.{6}\x00[\x02-\x08]|\x12\x01.{6}[\x02-\x08]\x00", re.DOTALL)
"""The EXIF tag Orientation, big or little endian, with a value other than 1. EXIF data may also hold it by chance."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
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
    """Bits per sample as stored, 8 in a JPEG; 16 stands for those of a DICOM file."""
    alpha: bool
    components: int = 1
    """Of a JPEG: 1 grey, 3 colour, 4 CMYK."""
    turned: bool = False
    """A JPEG whose EXIF data may say that the picture is to be turned or mirrored."""


def format_of(data: bytes) -> str | None:
    """Return `JPEG`, `PNG` or `DICOM` by the first bytes of a file, or None for any other."""
    if data.startswith(_JPEG):
        return "JPEG"
    if data.startswith(PNG_SIGNATURE):
        return "PNG"
    return "DICOM" if data[128:132] == DICOM_PREFIX or _starts_like_dicom(data) else None


def _starts_like_dicom(data: bytes) -> bool:
    """Return whether a file without preamble starts with a data element of group 0002 or 0008 (PS3.5, 7.1)."""
    explicit = data[4:6] in _TYPES
    if data[:2] == b"\0\x08":  # big endian
        return explicit
    if data[:2] not in (b"\x02\0", b"\x08\0"):
        return False
    if explicit:
        return True
    length = int.from_bytes(data[4:8], "little")  # without a type; another element of the group must follow
    return length <= _LONGEST_FIRST and data[:2] == data[8 + length : 10 + length]


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
    what = no_image(data[:HEAD_BYTES]) or "whatever its name is; convert or remove it"
    raise DecodeError(f"{name}: not a JPEG, PNG or DICOM file, {what}")


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
    for kind, _, length in islice(png_chunks(data), MAX_CHUNKS):
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
    if width * height * bits * CHANNELS.get(colour, 1) > 8 * compressed * MAX_INFLATION:
        raise DecodeError(f"{name}: {compressed:,} bytes cannot hold {width} x {height} pixels; copy the PNG again")
    return Header("PNG", width, height, bits, alpha)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, position and length of content of each chunk, up to the end of the image or of the data."""
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        if position + 12 + length > len(data):
            return
        yield kind, position, length
        position += 12 + length
        if kind == b"IEND":
            return


def _jpeg_header(data: bytes, name: str) -> Header:
    """Return the header if all scans that its frame needs are there."""
    frame, turned, at, marker = None, False, 2, 0
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _START_OF_SCAN:
            break
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            end = at + 2 + (data[at + 2] << 8 | data[at + 3])
            if marker in _START_OF_FRAME:
                frame = frame or (marker, at)
            elif marker == _APP1 and data.startswith(b"Exif", at + 4):
                turned = turned or bool(TURNED.search(data, at, end))
            at = end
    if marker != _START_OF_SCAN:
        raise DecodeError(f"{name}: the JPEG is damaged or truncated; copy it again or remove it")
    if frame is None:
        raise DecodeError(f"{name}: the JPEG is damaged, it declares no size; copy it again or remove it")
    kind, position = frame
    bits, height, width, components = struct.unpack(">BHHB", data[position + 4 : position + 10])
    if data.rfind(b"\xff\xd9") < at:
        raise DecodeError(f"{name}: the JPEG is truncated; copy it again or remove it")
    if bits != 8 or kind not in _DECODED:
        kinds = "12 bits, lossless or hierarchical"
        raise DecodeError(f"{name}: a kind of JPEG that is not read ({kinds}); save it as PNG or ordinary JPEG")
    # A file that is not progressive and has all components in its first scan has no other, and so have nearly all
    # X-rays. Only the others are searched for scans, because that takes a tenth of the time of decoding.
    if kind in _PROGRESSIVE or data[at + 4] != components:
        _check_scans(data, kind, position, at, name)
    check_size(width, height, name)
    return Header("JPEG", width, height, bits, False, components, turned)


def _check_scans(data: bytes, kind: int, frame: int, position: int, name: str) -> None:
    """Raise DecodeError if there are far too many scans, or if a component or coefficient is in none of them.

    A file that was cut between two scans decodes without a warning, to a blurred picture.
    """
    needed = range(64) if kind in _PROGRESSIVE else range(1)
    components = data[frame + 10 : frame + 10 + 3 * data[frame + 9] : 3]
    missing, count = {(component, k) for component in components for k in needed}, 0
    while position >= 0 and count <= MAX_SCANS:
        count += 1
        members, parameters = _scan(data, position)
        if kind not in _PROGRESSIVE:
            missing -= {(component, 0) for component in members}
        elif len(parameters) == 3 and parameters[2] & 15 == 0:  # the last bit of these coefficients
            first, last, _ = parameters
            missing -= {(component, k) for component in members for k in range(first, last + 1)}
        position = data.find(b"\xff\xda", position + 2)
    if count > MAX_SCANS:
        scans = data.count(b"\xff\xda")
        raise DecodeError(f"{name}: the JPEG has {scans:,} scans, the limit is {MAX_SCANS}; save it again")
    if missing:
        raise DecodeError(
            f"{name}: the JPEG is truncated, scans of its picture are missing; copy it again or remove it"
        )


def _scan(data: bytes, position: int) -> tuple[bytes, bytes]:
    """Return the components of a scan, and where its spectrum starts and ends and its approximation (T.81, B.2.3)."""
    middle = position + 5 + 2 * int.from_bytes(data[position + 4 : position + 5])
    return data[position + 5 : middle : 2], data[middle : middle + 3]
