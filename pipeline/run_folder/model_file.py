"""The `model.keras` of a run: replaced atomically, and loaded without running code in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import keras

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import replace_patiently
from pneumo_tfds.program.npz import DAMAGE


def save_model(path: Path, model: keras.Model) -> None:
    """Write an inference model. Equal models give equal bytes, whose hash is part of the evaluation lock."""

    def write(temporary: Path) -> None:
        model.save(temporary)
        _make_reproducible(temporary)

    replace_patiently(path, write)


def _make_reproducible(path: Path) -> None:
    """Replace what differs each time Keras saves a model: the date, and ids of shared objects that are addresses."""
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    metadata: dict[str, str] = json.loads(parts["metadata.json"])
    metadata["date_saved"] = "1980-01-01@00:00:00"  # the earliest date of a zip, which its entries get below
    parts["metadata.json"] = json.dumps(metadata).encode()
    known: dict[bytes, int] = {}
    parts["config.json"] = re.sub(
        rb'("shared_object_id": )(\d+)',
        lambda found: found[1] + b"%d" % known.setdefault(found[2], len(known) + 1),
        parts["config.json"],
    )
    with ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(ZipInfo(name), content)


def load_model(path: Path) -> keras.Model:
    """Read an inference model.

    Raises:
        InputError: the file is missing, damaged, or holds a Lambda layer or anything else that safe loading refuses.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; finish its run first, or give the folder of a finished one")
    try:
        with ZipFile(path) as archive:
            if damaged := archive.testzip():  # Keras does not read all of a part to its end, where the checksum is
                raise ValueError(f"its part {damaged} is damaged")
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (*DAMAGE, AttributeError, TypeError) as error:
        reason = reason_of(error)
        if "Lambda" in reason or "safe_mode" in reason:
            reason = "it holds a Lambda layer, which is code; only models without code are loaded"
        raise InputError(f"{path} cannot be loaded as a Keras model: {reason:.300}") from error
