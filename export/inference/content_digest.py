"""The digest at the end of an exported file, by which a damaged or changed file is noticed when it is opened.

The last 84 bytes of the file are one entry of its metadata, as protobuf writes it: the key `content_sha256`, and as its
value the SHA-256 of all bytes before, in hex. So weights, graph and metadata are all covered, and no parser is needed:
`head -c -84 model.onnx | sha256sum` gives what `tail -c 64 model.onnx` says. It shows accidents. Whoever changes a file
on purpose can compute the digest again; only a signature (`export.inference.signature`) shows that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.inference.onnx_metadata import ModelFileError
from pneumo_tfds.program.errors import reason_of

KEY = "content_sha256"
# Field 14 of a ModelProto, `metadata_props`, is a message of 82 bytes with the key in field 1 and the value in field 2.
_HEAD = b"\x72\x52\x0a\x0e" + KEY.encode() + b"\x12\x40"
_LENGTH = len(_HEAD) + 64


def sealed(model: Any) -> bytes:
    """Return the bytes of an `onnx.ModelProto` with its digest at their end; one that it has is replaced.

    Every file of this project is written by this function. Equal models give equal bytes.
    """
    kept = [entry for entry in model.metadata_props if entry.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    content = bytes(model.SerializeToString(deterministic=True))
    return content + _HEAD + hashlib.sha256(content).hexdigest().encode()


def check_place(props: Mapping[str, str], path: Path, *, is_last: bool) -> None:
    """Raise ModelFileError for metadata with a digest that is not at the end of the file: another program wrote it."""
    if KEY in props and not is_last:
        raise ModelFileError(
            f"{path} was changed by another program after its export, so its {KEY} says nothing; "
            "remove that key if you changed it, or export the run again"
        )


def has_right_digest(path: Path) -> bool:
    """Return whether a file ends with its digest, which is right; False if it ends with none.

    Raises:
        ModelFileError: the file cannot be read, or its content is not that of the digest.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {reason_of(error)}; give the .onnx file of a run") from error
    if data[-_LENGTH:-64] != _HEAD:
        return False
    if hashlib.sha256(memoryview(data)[:-_LENGTH]).hexdigest().encode() != data[-64:]:
        raise ModelFileError(
            f"{path} is damaged: its content is not what its {KEY} says; copy it again, or export its run again"
        )
    return True
