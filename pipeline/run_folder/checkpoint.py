"""The state of a training run in one file, replaced atomically: a kill leaves the old one or the new one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replace_patiently
from pneumo_tfds.program.npz import read_arrays

FILE = "state.npz"
REMEDY = "remove it to train from the start"


def save(folder: Path, variables: Mapping[str, Sequence[Any]], state: Mapping[str, Any]) -> None:
    """Write groups of Keras variables and a JSON state to `folder/state.npz`."""
    arrays = {name: np.asarray(variable) for name, variable in _by_name(variables).items()}
    text = np.array(json.dumps(state))
    replace_patiently(folder / FILE, lambda path: np.savez(path, allow_pickle=False, state=text, **arrays))


def load(folder: Path, variables: Mapping[str, Sequence[Any]]) -> dict[str, Any] | None:
    """Return the saved state and assign the saved values to `variables`; None if nothing was saved.

    Raises:
        InputError: the file is damaged, or belongs to another network or optimizer. `variables` are then unchanged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    arrays = read_arrays(path, REMEDY)
    try:
        state: dict[str, Any] = json.loads(str(arrays.pop("state")))
    except (KeyError, RecursionError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error!s:.100}); {REMEDY}") from error
    targets = _by_name(variables)
    found = {name: array.shape for name, array in arrays.items()}
    expected = {name: tuple(variable.shape) for name, variable in targets.items()}
    numbers = all(array.dtype.kind in "biuf" for array in arrays.values())
    if not (found == expected and numbers and isinstance(state, dict)):
        raise InputError(f"{path} belongs to another model; remove it, or resume with the settings it was made with")
    for name, variable in targets.items():
        variable.assign(arrays[name])
    return state


def _by_name(variables: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {
        f"{group}/{index}": variable for group, members in variables.items() for index, variable in enumerate(members)
    }
