"""The digest at the end of an exported file, by which a damaged or changed file is noticed when it is opened.

The last 84 bytes of the file are one entry of its metadata, as protobuf writes it: the key `content_sha256`, and as its
value the SHA-256 of all bytes before, in hex. So weights, graph and metadata are all covered, and no parser is needed:
`head -c -84 model.onnx | sha256sum` gives what `tail -c 64 model.onnx` says. It shows accidents. Whoever changes a file
on purpose can compute the digest again; only a signature (`export.inference.signature`) shows that.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from export.inference.onnx_metadata import ModelFileError
from pneumo_tfds.program.errors import reason_of

KEY = "content_sha256"
# Field 14 of a ModelProto, `metadata_props`, is a message of 82 bytes with the key in field 1 and the value in field 2.
_HEAD = b"\x72\x52\x0a\x0e" + KEY.encode() + b"\x12\x40"
_LENGTH = len(_HEAD) + 64
_QUANTIZED = b"DequantizeLinear"  # an operator of int8 files alone


class Content(NamedTuple):
    """What the bytes of a model file say of it."""

    sha256: str
    """Digest of the whole file, in hexadecimal."""
    has_digest: bool
    """Whether it ends with its digest, so that damage would have been noticed; files of old do not."""
    is_int8: bool


def sealed(model: Any) -> bytes:
    """Return the bytes of an `onnx.ModelProto` with its digest at their end; one that it has is replaced.

    Every file of this project is written by this function. Equal models give equal bytes.
    """
    kept = [entry for entry in model.metadata_props if entry.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    content = bytes(model.SerializeToString(deterministic=True))
    return content + _HEAD + hashlib.sha256(content).hexdigest().encode()


@cache  # once for each file
def tell_if_unchecked(path: Path) -> None:
    """Say on standard error that a file has no digest: it was not exported by this version, or was changed since."""
    print(
        f"{path}: not checked, as it has no digest; an earlier version exported it, or it was changed since "
        "(python -m export.verify tells more)",
        file=sys.stderr,
    )


def check_place(props: Mapping[str, str], path: Path, *, is_last: bool) -> None:
    """Raise ModelFileError for metadata with a digest that is not at the end of the file: another program wrote it."""
    if KEY in props and not is_last:
        raise ModelFileError(
            f"{path} was changed by another program after its export, so its {KEY} says nothing; "
            "remove that key if you changed it, or export the run again"
        )


def model_file(place: str | os.PathLike[str]) -> Path:
    """Return the model file that is meant by a path: of the folder of a run, its `model.onnx`."""
    return Path(place) / "model.onnx" if Path(place).is_dir() else Path(place)


def require_file(path: Path) -> None:
    """Raise ModelFileError if there is no such file."""
    if not path.is_file():
        raise ModelFileError(f"{path} is not a file; give the .onnx file of a run (python -m export RUN makes it)")


def read_content(path: Path) -> Content:
    """Read a model file and check its digest, if it ends with one.

    Raises:
        ModelFileError: the file is missing or cannot be read, or its content is not that of the digest.
    """
    require_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {reason_of(error)}; give the .onnx file of a run") from error
    hashed, has_digest = hashlib.sha256(memoryview(data)[:-_LENGTH]), data[-_LENGTH:-64] == _HEAD
    if has_digest and hashed.hexdigest().encode() != data[-64:]:
        raise ModelFileError(
            f"{path} is damaged: its content is not what its {KEY} says; copy it again, or export its run again"
        )
    hashed.update(data[-_LENGTH:])
    return Content(hashed.hexdigest(), has_digest, _QUANTIZED in data)
