"""Arrays from an `.npz` that a stranger may have made: no pickles, and no more memory than its size explains."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneumo_tfds.program.errors import InputError

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The others unpack what they are given at once, whatever was declared: 50 bytes of bzip2 hold 45 MB of zeros."""

DAMAGE = (
    ArithmeticError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError, ValueError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What `zipfile` raises over bytes that are no zip, or no longer one."""

MAX_RATIO = 100
"""Unpacked over packed size; weights hardly shrink, and made images by ten."""

_DAMAGE = (*DAMAGE, AttributeError, MemoryError, SyntaxError, TypeError, tokenize.TokenError)
"""The latter of NumPy, which reads the header of an array as Python."""


def read_arrays(path: Path, remedy: str) -> dict[str, npt.NDArray[Any]]:
    """Read every array of a file that `np.savez` or `np.savez_compressed` wrote.

    Args:
        path: of the file.
        remedy: what to do if it cannot be read; the end of the message.

    Raises:
        InputError: the file is missing or damaged, has pickled objects in it, or unpacks to over `MAX_RATIO` times its
            size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type not in METHODS for part in archive.infolist()):
                raise ValueError("packed in a way that NumPy does not use")
            if sum(part.file_size for part in archive.infolist()) > MAX_RATIO * path.stat().st_size:
                raise ValueError(f"it unpacks to over {MAX_RATIO} times its size")
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; {remedy}") from error
    except _DAMAGE as error:
        raise InputError(f"{path} is damaged ({str(error) or type(error).__name__:.100}); {remedy}") from error
    if not all(isinstance(array, np.ndarray) for array in found.values()):
        raise InputError(f"{path} is damaged: it holds other things than arrays; {remedy}")
    return found
