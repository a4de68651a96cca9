"""Read the data set of a DICOM file with pydicom (the `dicom` extra), also one without preamble or deflated."""

from __future__ import annotations

import functools
import io
import logging
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pneumo_tfds.decode.headers import DICOM_PREFIX, DecodeError
from pneumo_tfds.program.installed import how_to_install
from pneumo_tfds.program.limits import MAX_DEEP_PIXELS, MAX_RATIO, RATIO_FLOOR_BYTES

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_DEFLATED, _EXPLICIT = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1\0\0\0"
"""Transfer syntaxes of the same length: deflated as a whole, and the same uncompressed, padded."""

_GROUP_LENGTH = b"\x02\0\0\0UL\x04\0"
"""The element (0002,0000), which comes first and says how long the file meta information is."""

_MOST_INFLATED = 2 * MAX_DEEP_PIXELS + (16 << 20)
"""Bytes of pixels and header that a deflated file may become."""


def read_dataset(data: bytes, name: str) -> Dataset:
    """Parse a whole file.

    The values of elements are parsed when they are asked for, and may raise then whatever pydicom raises.

    Raises:
        DecodeError: the file is deflated and damaged or far too large.
    """
    from pydicom import dcmread

    return dcmread(io.BytesIO(inflated(data, name)), force=True)


def import_pydicom(name: str) -> None:
    """Import pydicom and turn off its warnings about odd values: those that matter here are errors.

    It imports GDCM, which takes any folder named `dl` in the current one for a module of Python 2; so that is hidden.
    """
    hide = "dl" not in sys.modules
    try:
        if hide:
            sys.modules["dl"] = None  # type: ignore[assignment]
        import pydicom  # noqa: F401
    except ModuleNotFoundError as error:
        raise DecodeError(f"{name}: DICOM needs pydicom, which is not installed; {how_to_install('dicom')}") from error
    finally:
        if hide:
            sys.modules.pop("dl", None)
    _quiet_pydicom()


@functools.cache
def _quiet_pydicom() -> None:
    logging.getLogger("pydicom").setLevel(logging.ERROR + 1)
    warnings.filterwarnings("ignore", module="pydicom")


@contextmanager
def standing_for(name: str, message: str) -> Iterator[None]:
    """Turn what pydicom and NumPy raise for values that break the standard to a DecodeError with our message.

    Raises:
        DecodeError: so; or pydicom is not installed.
    """
    import_pydicom(name)
    from pydicom.errors import BytesLengthException, InvalidDicomError

    foreign = (
        ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError,
        TypeError, ValueError, struct.error, zlib.error, BytesLengthException, InvalidDicomError,
    )  # fmt: skip
    try:
        yield
    except DecodeError:
        raise
    except MemoryError as error:
        raise DecodeError(f"{name}: there is too little memory to decode it; close other programs") from error
    except foreign as error:
        raise DecodeError(f"{name}: {message}") from error


def inflated(data: bytes, name: str, whole: bool = True) -> bytes:
    """Return a file that is deflated as a whole (PS3.5 A.5) uncompressed, and any other as it is.

    pydicom would inflate it without a limit, to as much as 1,000 times its size. With `whole` False, `data` may be the
    beginning of a file.

    Raises:
        DecodeError: it is damaged, or it becomes larger than a radiograph.
    """
    found = data.find(_DEFLATED)
    if found < 0:
        return data
    start = len(DICOM_PREFIX) + 128 if data[128:132] == DICOM_PREFIX else 0
    if data[start : start + 8] != _GROUP_LENGTH:
        raise DecodeError(f"{name}: the deflated DICOM file has no usable header; export it from its archive again")
    end = start + 12 + int.from_bytes(data[start + 8 : start + 12], "little")
    if found > end:  # the text stands somewhere in the data
        return data
    limit = min(_MOST_INFLATED, max(RATIO_FLOOR_BYTES, MAX_RATIO * len(data))) if whole else RATIO_FLOOR_BYTES
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = stream.decompress(data[end:], limit)
    except zlib.error as error:
        raise DecodeError(f"{name}: the deflated DICOM file is damaged; copy it again or remove it") from error
    if whole and stream.unconsumed_tail:
        raise DecodeError(f"{name}: the deflated DICOM file inflates to more than {limit >> 20} MiB; remove it")
    if whole and not stream.eof:
        raise DecodeError(f"{name}: the deflated DICOM file is truncated; copy it again or remove it")
    return data[:end].replace(_DEFLATED, _EXPLICIT) + content


def value_of(dataset: Dataset, keyword: str, default: Any = None) -> Any:
    """Return the value of an element, the first if there are several; `default` if it is absent or empty."""
    value = dataset.get(keyword)
    if not isinstance(value, (str, bytes)) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    return default if value is None or value == "" else value


def number_of(dataset: Dataset, keyword: str, name: str, default: float | None = None) -> float | None:
    """Return the value of an element like `value_of`, as a finite number.

    Raises:
        DecodeError: the value is no finite number.
    """
    try:
        value = value_of(dataset, keyword)
        number = default if value is None else float(value)
        if number is None or abs(number) < float("inf"):
            return number
        reason = None
    except (TypeError, ValueError, OverflowError) as error:
        reason = error
    raise DecodeError(
        f"{name}: the DICOM file's {keyword} is not a number; export it from its archive again"
    ) from reason
