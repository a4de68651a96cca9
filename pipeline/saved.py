"""A run's `model.keras`: written at once, loaded without running anything that is in it."""

from __future__ import annotations

from pathlib import Path

import keras

from pneumo_tfds.errors import InputError
from pneumo_tfds.files import replacing


def save_model(path: Path, model: keras.Model) -> None:
    """Write an inference model."""
    with replacing(path) as temporary:
        model.save(temporary)


def load_model(path: Path) -> keras.Model:
    """Read an inference model.

    Raises:
        InputError: the file is missing, damaged, or holds a Lambda layer or another thing that safe loading refuses.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; finish its run first, or give the folder of a finished one")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError) as error:
        reason = " ".join(str(error).split())
        if "Lambda" in reason or "safe_mode" in reason:
            reason = "it holds a Lambda layer, which is code; only models without one are loaded"
        raise InputError(f"{path} cannot be loaded as a Keras model: {reason:.300}") from error
