"""Resample a DICOM picture whose pixels are not square, so that it is not stretched (the `dicom` extra)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode.headers import DecodeError, check_size

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")

TOLERANCE = 0.01
"""Pixels are taken for square if height and width differ by no more; 1 % is less than two pixels of 224."""

MOST = 4.0
"""Pixels that are longer than wide, or wider, by a larger factor are not believed."""


def with_square_pixels(grey: npt.NDArray[np.uint8], dataset: Dataset, name: str) -> npt.NDArray[np.uint8]:
    """Enlarge uint8 `[height, width]` linearly along the longer side of its pixels until they are square.

    The first element that gives two positive numbers tells: PixelSpacing, ImagerPixelSpacing,
    NominalScannedPixelSpacing (rows, columns, in mm), and last PixelAspectRatio (vertical, horizontal), because the
    standard asks for the ratio only where no spacing is given (PS3.3 C.7.6.3, C.7.6.3.1.7).

    Raises:
        DecodeError: a value is no number, the ratio is above `MOST`, or the picture becomes too large.
    """
    keyword, ratio = _pixel_ratio(dataset, name)
    if abs(ratio - 1) <= TOLERANCE:
        return grey
    if not 1 / MOST <= ratio <= MOST:
        raise DecodeError(
            f"{name}: by its {keyword} a pixel is {ratio:.3g} times as high as wide; correct that or export it again"
        )
    height, width = grey.shape
    height, width = round(height * max(1, ratio)), round(width * max(1, 1 / ratio))
    check_size(width, height, name)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _pixel_ratio(dataset: Dataset, name: str) -> tuple[str, float]:
    """Return the element that tells, and the height of a pixel over its width: 1 if none does."""
    for keyword in (*_SPACINGS, "PixelAspectRatio"):
        try:
            values = dataset.get(keyword)
            height, width = (float(value) for value in values) if np.size(values) == 2 else (0.0, 0.0)
        except (TypeError, ValueError, OverflowError) as error:
            raise DecodeError(
                f"{name}: the DICOM file's {keyword} is not a number; export it from its archive again"
            ) from error
        if 0 < height < float("inf") and 0 < width < float("inf"):
            return keyword, height / width
    return "", 1.0
