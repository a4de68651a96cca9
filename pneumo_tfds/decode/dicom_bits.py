"""Bits of DICOM pixels beyond those that hold their values (PS3.5, 8.1.1): overlays, and leftovers of other values.

They are to be ignored. But some devices declare fewer bits than their values need, and anonymisers remove the elements
that tell of an overlay. So the picture itself decides: its neighbouring pixels are alike where the bits are used right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode.dicom_file import value_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OVERLAYS = 4
"""Different contents of the bits above the values that one or two overlays make; more belong to the values."""

BELIEVED = "values of more than the {} bits that the file declares were believed, because the picture is smoother so"


def used_bits(
    values: npt.NDArray[Any], padding: npt.NDArray[np.bool_] | None, dataset: Dataset
) -> tuple[npt.NDArray[Any], str]:
    """Return the values without what lies in the bits above them, and a remark if BitsStored was not believed.

    Args:
        values: integers `[height, width]`; the lowest bit of a value is their lowest bit.
        padding: bool `[height, width]`, pixels that are no part of the picture and stay as they are; or None.
        dataset: BitsStored, and the place of an overlay if the file tells one.
    """
    bits, container = int(dataset.BitsStored), 8 * values.dtype.itemsize
    if bits >= container or (values.dtype.kind == "u" and not int(values.max()) >> bits):
        return values, ""
    unused = container - bits
    masked = values << unused >> unused  # repeats the sign bit, if there is one
    if padding is not None:
        masked = np.where(padding, values, masked)
    if np.array_equal(masked, values):
        return values, ""
    overlays = (dataset.get((group, 0x0102)) for group in range(0x6000, 0x6020, 2))  # Overlay Bit Position
    told = any(overlay is not None and (overlay.value or 0) >= bits for overlay in overlays)
    if told or _is_smoother(masked, values, bits):
        return masked, ""
    return values, BELIEVED.format(bits)


def shifted(values: npt.NDArray[Any], dataset: Dataset) -> npt.NDArray[Any]:
    """Return the values without the bits below them, if there are any by HighBit."""
    bits, container = int(dataset.BitsStored), 8 * values.dtype.itemsize
    below = int(value_of(dataset, "HighBit", bits - 1)) + 1 - bits
    return values >> below if 0 < below <= container - bits and values.max() >> bits else values


def _is_smoother(masked: npt.NDArray[Any], values: npt.NDArray[Any], bits: int) -> bool:
    """Return whether neighbours do not differ more without the bits above; False if these are as manifold as values."""
    changed = masked != values
    if len(np.unique(values[changed] >> bits)) > OVERLAYS:
        return False
    return _roughness(masked, changed) <= _roughness(values, changed)


def _roughness(values: npt.NDArray[Any], changed: npt.NDArray[np.bool_]) -> int:
    """Return the sum of differences between neighbours of which one at least was changed; the others are as before."""
    total = 0
    for picture, here in ((values, changed), (values.T, changed.T)):
        pairs = np.nonzero(here[1:] | here[:-1])
        first, second = picture[:-1][pairs].astype(np.int64), picture[1:][pairs]
        total += int(np.abs(second - first).sum())
    return total
