"""Decode an image file with OpenCV; one that it refuses is a DecodeError."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode.headers import DecodeError


def imdecode(data: bytes, flags: int, name: str) -> npt.NDArray[np.generic]:
    """Decode to `[height, width]` or `[height, width, channels]` as the flags of `cv2.imdecode` say.

    Raises:
        DecodeError: the bytes are damaged, or there is too little memory.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DecodeError(f"{name}: cannot be decoded; save it again as an ordinary JPEG or PNG") from error
    if image is None:
        raise DecodeError(f"{name}: is damaged and cannot be decoded; copy it again or remove it")
    return np.asarray(image)
