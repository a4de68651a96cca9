"""Read arrays from an untrusted `.npz`: no pickles, and no more memory than the size of the file explains."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.limits import MAX_RATIO
from pneumo_tfds.program.trying_again import try_again

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Packing methods that are unpacked piece by piece. Others unpack all at once: 50 bytes of bzip2 can hold 45 MB."""

DAMAGE = (
    ArithmeticError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError, ValueError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What `zipfile` raises when a zip is damaged or the bytes are not a zip."""

_DAMAGE = (*DAMAGE, AttributeError, MemoryError, SyntaxError, TypeError, tokenize.TokenError)
"""The additional ones are raised by NumPy, which parses the header of an array as Python."""


def read_arrays(path: Path, remedy: str) -> dict[str, npt.NDArray[Any]]:
    """Read every array of a file that `np.savez` or `np.savez_compressed` wrote.

    Raises:
        InputError: the file is missing or damaged, holds pickled objects, or unpacks to more than `MAX_RATIO` times
            its size. The message ends with `remedy`.
    """
    try:
        found = try_again(lambda: _read(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}; {remedy}") from error
    except _DAMAGE as error:
        raise InputError(f"{path} is damaged ({str(error) or type(error).__name__:.100}); {remedy}") from error
    if not all(isinstance(array, np.ndarray) for array in found.values()):
        raise InputError(f"{path} is damaged: not all of its entries are arrays; {remedy}")
    return found


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(path) as archive:
        if any(part.compress_type not in METHODS for part in archive.infolist()):
            raise ValueError("packed by a method that NumPy does not use")
        if sum(part.file_size for part in archive.infolist()) > MAX_RATIO * path.stat().st_size:
            raise ValueError(f"unpacks to more than {MAX_RATIO} times its size")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
