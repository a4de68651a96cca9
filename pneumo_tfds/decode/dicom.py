"""Decode a DICOM radiograph to grey levels with pydicom (the `dicom` extra).

The steps are those of the standard (PS3.3 C.11): stored values, modality LUT, VOI LUT or window, then the photometric
interpretation. MONOCHROME1 is inverted last, so that air is black in every image.
"""

from __future__ import annotations

import functools
import io
import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode.headers import DecodeError, check_size
from pneumo_tfds.program.errors import reason_of
from pneumo_tfds.program.limits import MAX_DEEP_PIXELS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_GREY = ("MONOCHROME1", "MONOCHROME2")

_DEFLATED = b"1.2.840.10008.1.2.1.99"
"""Transfer syntax of files deflated as a whole. pydicom inflates them without a limit, up to 1,000 times their size."""


def decode_dicom(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Decode the first frame of a DICOM file to uint8 `[height, width]`; padding becomes black.

    Raises:
        DecodeError: the file is damaged, holds no pixels, or pydicom or a decoder that it needs is not installed.
    """
    with _reading(data, name) as pydicom:
        dataset = pydicom.dcmread(io.BytesIO(data))
        if "PixelData" not in dataset:
            raise DecodeError(f"{name}: the DICOM file holds no pixels; remove it or export it with its image")
        check_size(int(dataset.get("Columns", 0)), int(dataset.get("Rows", 0)), name, MAX_DEEP_PIXELS)
        with np.errstate(all="ignore"):
            return _grey(dataset)


def patient_of(data: bytes) -> str:
    """Return the patient id in the header; empty if there is none or the file cannot be read."""
    with suppress(DecodeError), _reading(data, "header") as pydicom:
        header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=["PatientID"])
        return str(header.get("PatientID", "")).strip()
    return ""


@contextmanager
def _reading(data: bytes, name: str) -> Iterator[Any]:
    """Yield pydicom; turn the exceptions that it and NumPy raise for values that break the standard to DecodeError."""
    try:
        import pydicom
        from pydicom.errors import BytesLengthException, InvalidDicomError
    except ModuleNotFoundError as error:
        raise DecodeError(f"{name}: DICOM needs pydicom; install it with: pip install 'pneumo[dicom]'") from error
    _quiet_pydicom()
    if _DEFLATED in data:
        raise DecodeError(f"{name}: DICOM files that are deflated as a whole are not read; export it uncompressed")
    try:
        yield pydicom
    except DecodeError:
        raise
    except (
        ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError, RuntimeError,
        TypeError, ValueError, cv2.error, struct.error, BytesLengthException, InvalidDicomError,
    ) as error:  # fmt: skip
        reason = reason_of(error)
        raise DecodeError(f"{name}: the DICOM file cannot be decoded ({reason:.300}); export it again") from error


@functools.cache
def _quiet_pydicom() -> None:
    """Turn off pydicom's warnings about odd values: those that matter here are errors."""
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pydicom")


def _grey(dataset: Dataset) -> npt.NDArray[np.uint8]:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array

    stored = pixel_array(dataset, index=0)
    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if stored.ndim == 3:  # a colour export; pydicom has made it RGB
        if stored.dtype != np.uint8:
            raise ValueError(f"a colour image of {stored.dtype} is not a radiograph")
        return np.asarray(cv2.cvtColor(stored, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    if photometric not in _GREY:
        raise ValueError(f"photometric interpretation {photometric} is not that of a radiograph")
    padding = _padding(dataset, stored)
    values = apply_voi_lut(apply_modality_lut(stored, dataset), dataset)
    grey = _to_eight_bits(np.asarray(values, dtype=np.float32), dataset, padding)
    if photometric == "MONOCHROME1":
        grey = np.asarray(255 - grey, dtype=np.uint8)
    if padding is not None:
        grey[padding] = 0
    return grey


def _padding(dataset: Dataset, stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Return a mask of the padding outside the detector (PS3.3 C.7.5.1.1.2); None if the file marks no such pixels."""
    if "PixelPaddingValue" not in dataset:
        return None
    first = int(dataset.PixelPaddingValue)
    last = int(dataset.get("PixelPaddingRangeLimit", first))
    mask = (stored >= min(first, last)) & (stored <= max(first, last))
    return np.asarray(mask) if mask.any() and not mask.all() else None


def _to_eight_bits(
    values: npt.NDArray[np.float32], dataset: Dataset, padding: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.uint8]:
    """Scale to 0 to 255, from the window's range if the file has a window or VOI LUT, else from the range of values."""
    inside = values if padding is None else values[~padding]
    low, high = float(inside.min()), float(inside.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("its window or rescale slope is not a number")
    if "VOILUTSequence" in dataset and "LUTDescriptor" in dataset.VOILUTSequence[0]:
        low, high = 0.0, 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    elif "WindowCenter" in dataset or "VOILUTSequence" in dataset:
        low, high = _window_range(dataset)
    scaled = (values - low) * (255.0 / max(high - low, 1e-6))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), dtype=np.uint8)


def _window_range(dataset: Dataset) -> tuple[float, float]:
    """Return the output range that pydicom gives a window: that of the stored values, after the modality rescale."""
    if "ModalityLUTSequence" in dataset:
        return 0.0, 2.0 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    bits = int(dataset.get("BitsStored", 16))
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    return low * slope + intercept, high * slope + intercept
