"""Decode an image file to a square of grey levels: the only decoder, used by training, export and prediction."""

from __future__ import annotations

from pneumo_tfds.decode.headers import DecodeError
from pneumo_tfds.decode.pixels import Grey, decode, decode_full, decode_whole, resize

__all__ = ["DecodeError", "Grey", "decode", "decode_full", "decode_whole", "resize"]
