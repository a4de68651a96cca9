"""The formulas of the DICOM standard from stored values to grey levels (PS3.3 C.11.1 and C.11.2).

An element that is there and empty counts as absent, and so does a window of no width. Of several windows or tables the
first is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode.dicom_file import number_of, value_of
from pneumo_tfds.decode.grey_range import scale
from pneumo_tfds.decode.headers import DecodeError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Floats = npt.NDArray[np.float64]


def modality_values(stored: Floats, dataset: Dataset, name: str) -> Floats:
    """Apply the modality LUT, or rescale slope and intercept (C.11.1); a slope of 0 counts as absent."""
    table = _table(dataset, "ModalityLUTSequence", name)
    if table is not None:
        return _looked_up(stored, *table)
    slope, intercept = (number_of(dataset, f"Rescale{word}", name) for word in ("Slope", "Intercept"))
    return stored * (slope or 1.0) + (intercept or 0.0)


def shown_values(values: Floats, dataset: Dataset, name: str) -> npt.NDArray[np.uint8] | None:
    """Apply the VOI LUT or else the window (C.11.2) to modality values; None if the file has neither.

    The range of a LUT is that of the values in it: the number of bits that it declares is often larger.
    """
    table = _table(dataset, "VOILUTSequence", name)
    if table is not None:
        return scale(_looked_up(values, *table), float(table[1].min()), float(table[1].max()))
    center, width = (number_of(dataset, f"Window{word}", name) for word in ("Center", "Width"))
    if center is None or width is None or width <= 0:
        return None
    function = str(value_of(dataset, "VOILUTFunction", "LINEAR")).strip().upper()
    if function == "SIGMOID":
        steepness = np.clip(-4 * (values - center) / width, -700, 700)  # exp stays finite
        return scale(1 / (1 + np.exp(steepness)), 0.0, 1.0)
    if function == "LINEAR_EXACT" or width <= 1:
        return scale(values, center - width / 2, center + width / 2)
    return scale(values, center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2)


def _table(dataset: Dataset, keyword: str, name: str) -> tuple[float, Floats] | None:
    """Return the first mapped value of a lookup table and its entries; None if it is absent or empty.

    Raises:
        DecodeError: it has fewer entries than it declares.
    """
    item = value_of(dataset, keyword)
    descriptor, content = (item.get("LUTDescriptor"), item.get("LUTData")) if item is not None else (None, None)
    if not isinstance(content, bytes):
        content = np.atleast_1d([] if content is None else content).astype(np.int64)
    if not descriptor or len(descriptor) != 3 or not len(content):
        return None
    declared, first, bits = (int(number) for number in descriptor)
    count = declared & 0xFFFF or 1 << 16
    if isinstance(content, bytes):
        order = "<" if dataset.original_encoding[1] else ">"
        packed = bits <= 8 and len(content) < 2 * count  # two entries of 8 bits in a word, where 16 bits are usual
        content = np.frombuffer(content[: len(content) // 2 * 2], "u1" if packed else f"{order}u2")
        if packed and order == ">":
            content = content.reshape(-1, 2)[:, ::-1].ravel()
    if len(content) < count:
        raise DecodeError(
            f"{name}: {keyword} of the DICOM file has {len(content):,} of {count:,} values; export it from its archive"
        )
    signed = first >= 1 << 15 and int(dataset.PixelRepresentation) == 1  # written as unsigned
    return float(first - (1 << 16) if signed else first), (content[:count].astype(np.int64) & 0xFFFF).astype(np.float64)


def _looked_up(values: Floats, first: float, entries: Floats) -> Floats:
    """Return the entry of each value; values beyond the table take its first or last entry."""
    return entries[np.clip(np.rint(values - first), 0, len(entries) - 1).astype(np.int64)]
