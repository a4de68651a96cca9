"""Export of a trained run to one ONNX file, and prediction with that file.

`from export import Classifier` needs onnxruntime, OpenCV and NumPy only; importing this package imports none of them.

onnxruntime (1.29 and later, on Linux and macOS too) sends data about models and their use to its publisher unless
`ORT_DISABLE_TELEMETRY` is set when it is first imported. It is set here, before any module of this package imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pneumo_tfds.program.libraries import ask

ask("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from export.inference.classifier import Classifier, Prediction
    from export.inference.explanation import Explanation, explain

__all__ = ["Classifier", "Explanation", "Prediction", "explain"]


def __getattr__(name: str) -> Any:
    """Import the prediction API when it is first used."""
    if name in __all__:
        from export.inference import classifier, explanation

        return getattr(classifier if hasattr(classifier, name) else explanation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
