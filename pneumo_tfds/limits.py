"""What an image must be to be decoded at all, and the error that says so."""

from __future__ import annotations

from pneumo_tfds.errors import InputError

MIN_SIDE = 16
"""Pixels. Anything smaller is no radiograph but an icon or a broken export."""

MAX_PIXELS = 120_000_000
"""Declared width times height. A 43 x 43 cm detector at 0.1 mm has 18 million; the rest is a decompression bomb."""


class DecodeError(InputError):
    """One image cannot be read. The message starts with the image's name."""


def check_size(width: int, height: int, name: str) -> None:
    """Raise DecodeError for a declared size that is too small for a radiograph or too large to decode safely."""
    if min(width, height) < MIN_SIDE:
        raise DecodeError(f"{name}: only {width} x {height} pixels, at least {MIN_SIDE} a side are needed; remove it")
    if width * height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 1_000_000} million"
        raise DecodeError(f"{name}: declares {width} x {height} pixels, the limit is {limit}; shrink or remove it")
