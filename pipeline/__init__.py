"""From records to a trained, evaluated run folder.

`from pipeline import training_dataset, evaluation_dataset` gives a built dataset to training code of your own.
TensorFlow is imported when one of them is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pneumo_tfds.program.libraries import ask, prepare_tensorflow

if TYPE_CHECKING:
    from pipeline.data.tf_dataset import evaluation_dataset, training_dataset

prepare_tensorflow()
ask("ORT_DISABLE_TELEMETRY", "1")  # as in `export`, where it is explained

__all__ = ["evaluation_dataset", "training_dataset"]


def __getattr__(name: str) -> Any:
    """Import the datasets when they are first used."""
    if name in __all__:
        from pipeline.data import tf_dataset

        return getattr(tf_dataset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
