"""Paediatric chest X-rays as a TensorFlow dataset: find, audit, decode once, split by patient.

Importing this package makes `tfds.load("pneumo_tfds/gray_224")` work, before or after TFDS is imported. It imports
neither TensorFlow nor TFDS itself: the builder is registered when TFDS is imported.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"


def _register(_: ModuleType) -> None:
    importlib.import_module("pneumo_tfds.pneumo_tfds_dataset_builder")


try:
    import wrapt
except ModuleNotFoundError:  # an installation for prediction only has no TFDS to register with
    pass
else:
    wrapt.register_post_import_hook(_register, "tensorflow_datasets")
