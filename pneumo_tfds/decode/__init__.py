"""From the bytes of one image file to a grey square: the one decoder of training, export and prediction."""

from __future__ import annotations

from pneumo_tfds.decode.limits import DecodeError
from pneumo_tfds.decode.pixels import Grey, decode, decode_full, resize

__all__ = ["DecodeError", "Grey", "decode", "decode_full", "resize"]
