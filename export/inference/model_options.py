"""The flags of every command that answers with a model file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.inference.content_digest import tell_if_unchecked
from export.inference.engine import Engine, has_vnni
from export.inference.signature import SignatureOption

if TYPE_CHECKING:
    from export.inference.classifier import Classifier

WORTHWHILE = 5000
"""Images from which OpenVINO is faster as a whole. On one core it compiles a network for 0.5 (`compact`) or 3 s (the
default), and saves 0.17 or 0.9 ms an image."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(SignatureOption):
    """The flags of every command that answers with a model file."""

    engine: Engine = "auto"
    """What computes. auto: OpenVINO (extra openvino) for much work with an int8 file, else onnxruntime."""

    def opened(self, model: Path, *, little: bool = False, **options: Any) -> Classifier:
        """Return a model, opened with the options of `Classifier` after its signature was checked.

        For `little` work auto is onnxruntime. Say so on standard error if the file has no digest, if OpenVINO was
        chosen, or if it is an int8 file and this processor is slow with those.
        """
        from export.inference.classifier import Classifier

        self.check_signature(model)
        engine: Engine = "onnxruntime" if little and self.engine == "auto" else self.engine
        found = Classifier(model, engine=engine, **options)
        if not found.content.has_digest:
            tell_if_unchecked(found.path)
        if self.engine == "auto" and not found.engine.startswith("onnxruntime"):
            print(f"{found.path}: computed by {found.engine}; --engine onnxruntime changes that", file=sys.stderr)
        if found.content.is_int8 and has_vnni() is False:
            print(f"{found.path}: slower than model.onnx here, as this processor has no VNNI", file=sys.stderr)
        return found

    def is_much(self, images: int) -> bool:
        """Return whether a model that was opened for little work is to be opened again, for so many images."""
        return self.engine == "auto" and images >= WORTHWHILE
