"""What an image must be to be decoded at all, and the error that says so."""

from __future__ import annotations

from pneumo_tfds.program.errors import InputError

MIN_SIDE = 16
"""Pixels. Anything smaller is no radiograph but an icon or a broken export."""

MAX_PIXELS = 120_000_000
"""Declared width times height. A 43 x 43 cm detector at 0.1 mm has 18 million; the rest is a decompression bomb."""

MAX_DEEP_PIXELS = 40_000_000
"""The same where a pixel takes 16 bytes or more on the way: DICOM (tables in float64) and PNG with transparency."""

MAX_INFLATION = 1032
"""Bytes that one byte of a PNG can at most become: deflate copies 258 for 2 bits (zlib, "maximum compression")."""

MAX_CHUNKS = 100_000
"""Parts of a PNG; encoders write one for every 8 KB or more. One may be of 12 bytes, and takes as long to look at."""

MAX_SCANS = 100
"""Passes over a progressive JPEG; encoders write about ten. Each may cost a few bytes and take as long as an image."""


class DecodeError(InputError):
    """One image cannot be read. The message starts with the image's name."""


def check_size(width: int, height: int, name: str, most: int = MAX_PIXELS) -> None:
    """Raise DecodeError for a declared size that is too small for a radiograph or too large to decode safely."""
    if min(width, height) < MIN_SIDE:
        raise DecodeError(f"{name}: only {width} x {height} pixels, at least {MIN_SIDE} a side are needed; remove it")
    if width * height > most:
        limit = f"{most // 1_000_000} million"
        raise DecodeError(f"{name}: declares {width} x {height} pixels, the limit is {limit}; shrink or remove it")
