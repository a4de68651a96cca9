"""Find damage in compressed DICOM frames of which the decoders do not tell.

Other damage stays unknown: changed bytes that leave the structure of an RLE or JPEG 2000 frame intact become wrong
pixels, because neither format has a checksum of its data.
"""

from __future__ import annotations

import struct
from itertools import pairwise

ZEROS = 4096
"""Zero bytes in a row that no JPEG 2000 frame has: its arithmetic coder makes some ten at most, and one more for each
part that is empty. Such a run is a gap, of one block of a disk or more."""

_GIVEN = [*range(1, 129), 0, *range(128, 1, -1)]
_TAKEN = [*range(2, 130), 1, *[2] * 127]
"""Bytes that an RLE packet gives and takes, by its first byte: a copy of what follows, nothing or a run (PS3.5 G.3)."""


def check_rle(frame: bytes, pixels: int) -> None:
    """Raise ValueError unless each segment of a frame fills the picture exactly (PS3.5 G.3), with zeros at most behind.

    pydicom refuses a segment that gives too few bytes, and cuts off what is too much.

    Raises:
        ValueError, LookupError, struct.error: the frame is damaged.
    """
    count, *offsets = struct.unpack("<16I", frame[:64])
    offsets = [*offsets[:count], len(frame)]
    for start, end in pairwise(offsets):
        at, size = start, 0
        while size < pixels:
            code = frame[at]
            size += _GIVEN[code]
            at += _TAKEN[code]
        if size != pixels or at > end or frame[at:end].strip(b"\0"):
            raise ValueError("a segment does not fill the picture")


def check_jpeg_2000(frame: bytes) -> None:
    """Raise ValueError for a gap of zero bytes, over which OpenJPEG decodes. It refuses what is truncated itself."""
    if bytes(ZEROS) in frame:
        raise ValueError("a gap of zero bytes")
