"""From a trained run to one ONNX file, and from that file to answers.

`from export import Classifier` needs onnxruntime, OpenCV and NumPy only; importing this package imports none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.classifier import Classifier, Prediction

__all__ = ["Classifier", "Prediction"]


def __getattr__(name: str) -> Any:
    """Import the prediction API when it is first asked for."""
    if name in __all__:
        from export import classifier

        return getattr(classifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
