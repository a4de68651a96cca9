"""The state of a training run in one file, written at once: a kill finds the old one or the new one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replacing
from pneumo_tfds.program.npz import read_arrays

FILE = "state.npz"
REMEDY = "remove it to train from the start"


def save(folder: Path, variables: Mapping[str, Sequence[Any]], state: Mapping[str, Any]) -> None:
    """Write groups of Keras variables and a JSON state to `folder/state.npz`, replacing what was there."""
    arrays = {
        f"{group}/{index}": np.asarray(variable)
        for group, members in variables.items()
        for index, variable in enumerate(members)
    }
    with replacing(folder / FILE) as path:
        np.savez(path, allow_pickle=False, state=np.array(json.dumps(state)), **arrays)


def load(folder: Path, variables: Mapping[str, Sequence[Any]]) -> dict[str, Any] | None:
    """Give the saved state and put the saved values into `variables`; None if nothing was saved.

    Raises:
        InputError: the file is damaged, or belongs to another network or optimizer. `variables` are then untouched.
    """
    path = folder / FILE
    if not path.exists():
        return None
    arrays = read_arrays(path, REMEDY)
    try:
        state: dict[str, Any] = json.loads(str(arrays["state"]))
    except (KeyError, RecursionError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error!s:.100}); {REMEDY}") from error
    expected = {f"{group}/{i}": tuple(v.shape) for group, members in variables.items() for i, v in enumerate(members)}
    found = {name: array.shape for name, array in arrays.items() if name != "state"}
    numbers = all(array.dtype.kind in "biuf" for name, array in arrays.items() if name != "state")
    if found != expected or not numbers or not isinstance(state, dict):
        raise InputError(f"{path} belongs to another model; remove it, or resume with the settings it was made with")
    for group, members in variables.items():
        for index, variable in enumerate(members):
            variable.assign(arrays[f"{group}/{index}"])
    return state
