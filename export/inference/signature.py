"""Signatures of model files by key, made and checked by `model-signing` of the OpenSSF (the extra `sign`).

A signature shows who gave the file out, and that nobody changed it since. It lies beside the file: `model.onnx.sig`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS
from pneumo_tfds.program.installed import how_to_install

SUFFIX = ".sig"
MEANINGS = {"Key mismatch": "another key signed it", "Signature mismatch": "it was changed after it was signed"}
"""How the messages of `model-signing` begin, and what they mean."""


def tell_if_unsigned(path: Path) -> None:
    """Say of a file that gets another content that the signature beside it, if there is one, no longer fits."""
    signature = path.with_name(path.name + SUFFIX)
    if signature.exists():
        print(f"note: {signature} is of the file before, and no longer fits; sign {path.name} again")


@dataclass(frozen=True, kw_only=True)
class SignatureOption:
    """The flag of every command that opens a model file."""

    require_signature: Path | None = None
    """Refuse the model unless MODEL.onnx.sig beside it is its signature by this public key, a PEM file (extra sign)."""

    def check_signature(self, model: Path) -> None:
        """Call `require_signature` if a key was given; of a run's folder its `model.onnx` is checked."""
        if self.require_signature is not None:
            from export.inference.content_digest import model_file

            require_signature(model_file(model), self.require_signature)


def require_signature(path: Path, key: Path) -> None:
    """Check the signature of a model file, `PATH.sig`, by a public key on an elliptic curve, in a PEM file.

    Raises:
        InputError: a file is missing, the extra is not installed, or the signature is not that of this file by this
            key.
    """
    signature = path.with_name(path.name + SUFFIX)
    for file, remedy in (
        (path, "give the .onnx file of a run"),
        (signature, "put the signature that came with the model beside it"),
        (key, "give --require-signature the public key of who signed the model, a PEM file"),
    ):
        if not file.is_file():
            raise InputError(f"{file} is not a file; {remedy}")
    try:
        from cryptography.exceptions import InvalidSignature
        from model_signing import verifying
    except ModuleNotFoundError as error:
        raise InputError(f"--require-signature needs {error.name}; {how_to_install('sign')}") from error
    try:
        checker = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (*JSON_SHAPE_ERRORS, OSError) as error:
        raise InputError(f"{key} is not a public key on an elliptic curve in PEM form; give another file") from error
    try:
        checker.verify(path, signature)
    except (*JSON_SHAPE_ERRORS, InvalidSignature) as error:
        found = [meaning for start, meaning in MEANINGS.items() if str(error).startswith(start)]
        why = found[0] if found else f"{signature} is damaged"
        raise InputError(f"{path} has no right signature by {key}: {why}; get the file from who signed it") from error
    except OSError as error:
        raise InputError(f"{signature} or {path} cannot be read: {reason_of(error)}; copy them again") from error
