"""Paediatric chest X-rays as a TensorFlow dataset: find, audit, decode once, split by patient.

Importing this package makes `tfds.load("pneumo_tfds/gray_224")` work, before or after TFDS is imported. It imports
neither TensorFlow nor TFDS itself: the builder is registered when TFDS is imported.
"""

from __future__ import annotations

import importlib

from pneumo_tfds.program.libraries import ask_for_few_threads

__version__ = "0.1.0"

ask_for_few_threads()

try:
    import wrapt
except ModuleNotFoundError:  # an installation for prediction only has no TFDS to register with
    pass
else:
    builder = "pneumo_tfds.pneumo_tfds_dataset_builder"
    wrapt.register_post_import_hook(lambda _: importlib.import_module(builder), "tensorflow_datasets")
