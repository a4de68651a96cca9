"""Decode a DICOM radiograph to grey levels (the `dicom` extra).

The steps are those of the standard (PS3.3 C.11): stored values, modality LUT or rescale, VOI LUT or window, then the
photometric interpretation. MONOCHROME1 is inverted last, so that air is black in every image. The formulas are written
out here: pydicom 3.0 reverses an image with a negative slope when it applies a window. All steps depend on the stored
value alone, so they are computed once for each value that can occur. PresentationLUTShape says the same as the
photometric interpretation once more (PS3.3 C.8.11.3.1.2): INVERSE stands beside MONOCHROME1 and means one inversion. A
file in which they contradict each other is inverted, as one of them says, and `fitness.remarks` tells of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode.colour import colour_remark
from pneumo_tfds.decode.dicom_bits import used_bits
from pneumo_tfds.decode.dicom_file import number_of, read_dataset, standing_for, value_of
from pneumo_tfds.decode.dicom_grey_scale import modality_values, shown_values
from pneumo_tfds.decode.dicom_pixels import stored_values
from pneumo_tfds.decode.dicom_spacing import with_square_pixels
from pneumo_tfds.decode.exposure import exposure_remark, histogram
from pneumo_tfds.decode.grey_range import content_range, scale
from pneumo_tfds.decode.headers import DecodeError
from pneumo_tfds.decode.masks import are_two_levels

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_GREY = ("MONOCHROME1", "MONOCHROME2")

MOST_CLIPPED = 0.95
"""Share of black and white pixels above which a window is not believed; 0.31 is the most on 5,604 chest X-rays."""


def decode_dicom(data: bytes, name: str) -> tuple[npt.NDArray[np.uint8], str]:
    """Decode a DICOM file of one frame to uint8 `[height, width]` of square pixels; padding becomes black.

    Also return why the file's own window or number of bits was not believed, empty if they were.

    Raises:
        DecodeError: the file is damaged, holds no pixels or several frames, or its decoder is not installed.
    """
    with standing_for(name, "the DICOM file is damaged or breaks the standard; export it from its archive again"):
        dataset = read_dataset(data, name)
        grey, remark = _decode(dataset, name)
        return with_square_pixels(grey, dataset, name), remark


def _decode(dataset: Dataset, name: str) -> tuple[npt.NDArray[np.uint8], str]:
    stored = stored_values(dataset, name)
    photometric = str(dataset.PhotometricInterpretation)
    if stored.ndim == 3:  # a colour export; pydicom has made it RGB
        if stored.dtype != np.uint8:
            raise DecodeError(f"{name}: a colour image of 16 bits is not a radiograph; export the radiograph itself")
        return np.asarray(cv2.cvtColor(stored, cv2.COLOR_RGB2GRAY), dtype=np.uint8), colour_remark(stored)
    if photometric not in _GREY:
        raise DecodeError(
            f"{name}: its photometric interpretation {photometric} is not that of a radiograph; export it in grey"
        )
    padding = _padding(dataset, stored, name)
    used, doubt = used_bits(stored, padding, dataset)
    if used is not stored:
        stored, padding = used, _padding(dataset, used, name)
    lowest, highest = int(stored.min()), int(stored.max())
    possible = np.arange(lowest, highest + 1, dtype=np.float64)
    indices = stored.astype(np.int32) - lowest
    inside = indices if padding is None else indices[~padding]
    shape = str(value_of(dataset, "PresentationLUTShape", "")).strip().upper()
    table, remark = _grey_levels(possible, inside, dataset, name, photometric == "MONOCHROME1" or shape == "INVERSE")
    grey = table[indices]
    if padding is not None:
        grey[padding] = 0
    return grey, "; ".join(text for text in (doubt, remark) if text)


def _padding(dataset: Dataset, stored: npt.NDArray[Any], name: str) -> npt.NDArray[np.bool_] | None:
    """Return a mask of the padding outside the detector (PS3.3 C.7.5.1.1.2); None if the file marks no such pixels."""
    first = number_of(dataset, "PixelPaddingValue", name)
    if first is None:
        return None
    ends = [int(first), int(number_of(dataset, "PixelPaddingRangeLimit", name, first) or 0)]
    if stored.dtype.kind == "i":  # written as unsigned by some
        ends = [end - (1 << 16) if end >= 1 << 15 else end for end in ends]
    mask = (stored >= min(ends)) & (stored <= max(ends))
    return np.asarray(mask) if mask.any() and not mask.all() else None


def _grey_levels(
    possible: npt.NDArray[np.float64], indices: npt.NDArray[Any], dataset: Dataset, name: str, inverted: bool
) -> tuple[npt.NDArray[np.uint8], str]:
    """Return the grey level of each possible stored value, and why the file's own window was not taken.

    `indices` are those of the picture's pixels among the possible values. Where the picture is `inverted`, low values
    are bright.
    """

    def turned(table: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return 255 - table if inverted else table

    values = modality_values(possible, dataset, name)
    remark = ""
    table = shown_values(values, dataset, name)
    if table is not None:
        problem = _problem(turned(table)[indices])
        if not problem:
            return turned(table), ""
        remark = f"the picture is {problem} in the file's own window, so the range of its values was taken"
    elif (declared := _eight_bits(possible, dataset)) is not None:
        ends = modality_values(declared, dataset, name)
        return turned(scale(values, float(ends.min()), float(ends.max()))), ""
    return turned(scale(values, *content_range(values.astype(np.float32)[indices]))), remark


def _eight_bits(possible: npt.NDArray[np.float64], dataset: Dataset) -> npt.NDArray[np.float64] | None:
    """Return the ends of the range that a file of at most eight bits declares, None for others and if it breaks it.

    A picture in such a range is shown as a JPEG would be.
    """
    bits, signed = int(dataset.BitsStored), int(dataset.PixelRepresentation)
    ends = np.array([0.0, (1 << bits) - 1]) - (signed << bits - 1)
    within = ends[0] <= possible[0] and possible[-1] <= ends[1]
    return ends if bits <= 8 and within and not dataset.get("ModalityLUTSequence") else None


def _problem(grey: npt.NDArray[np.uint8]) -> str:
    """Return what is wrong with a picture in its window: black, white, without greys between, or hardly visible."""
    counts = histogram(grey)
    if counts[0] + counts[255] > MOST_CLIPPED * grey.size:
        return "black and white"
    if are_two_levels(counts):
        return "of two grey levels"
    return exposure_remark(grey).partition(":")[0]
