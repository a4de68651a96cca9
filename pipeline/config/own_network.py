"""A network of the user, `--model PACKAGE.MODULE:FUNCTION`: its module, the version of its file, and its arguments.

The function takes `image_size` and returns an uncompiled `keras.Model` (`pipeline.networks.own_model`). It is found in
the working folder or among the installed packages. Finding it here imports the module, but calls nothing.
"""

from __future__ import annotations

import importlib
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import sha256_of
from pneumo_tfds.program.quiet import quiet_tensorflow

NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
IMAGE_SIZE = "image_size"
PREFIX = "own_"  # of the names of the Keras models that are made of what the functions return
PASSED = ("dropout", "l1", "l2", "normalize")
"""Settings of a run that are handed to the function if it takes arguments of these names."""
_imported: dict[str, str] = {}  # SHA-256 of a module's file when it was imported, by its name
_looked_in: set[str] = set()  # working folders that were put among the places of modules


@dataclass(frozen=True)
class OwnNetwork:
    """The function that makes a network."""

    name: str
    """`PACKAGE.MODULE:FUNCTION`"""
    function: Callable[..., Any]
    sha256: str
    """SHA-256 of the module's source file."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The arguments that the function takes by name, with their default values; without `image_size`."""
        taken = inspect.signature(self.function).parameters.values()
        return {each.name: each.default for each in taken if each.name != IMAGE_SIZE and each.kind != each.VAR_KEYWORD}

    @property
    def numbers(self) -> Mapping[str, float]:
        """Its own arguments whose default is a number: what `--arguments` sets and a search may draw."""
        own = {name: value for name, value in self.defaults.items() if name not in PASSED}
        return {name: value for name, value in own.items() if type(value) in (int, float)}

    @property
    def ranges(self) -> Sequence[str]:
        """What its attribute `ranges` adds to the search space, in the words of `--ranges`; empty if it has none."""
        ranges = getattr(self.function, "ranges", ())
        if isinstance(ranges, str) or not all(isinstance(each, str) for each in ranges):
            raise InputError(f"--model {self.name}: its ranges are {ranges!r}; give a tuple such as ('width=16:64',)")
        return tuple(ranges)

    def check_arguments(self, given: Sequence[str]) -> None:
        """Raise InputError for one of `given`, `name=value`, that is none of `numbers`."""
        known = ", ".join(self.numbers) or "none with a number as default"
        for name, _ in map(read_argument, given):
            if name not in self.numbers:
                raise InputError(f"--arguments {name}: {self.name} takes no such argument; it takes {known}")


def is_own(model: str) -> bool:
    """Return whether the value of `--model` names a function of the user."""
    return ":" in model


def read_argument(text: str) -> tuple[str, float]:
    """Read `name=value`, a value of `--arguments`.

    Raises:
        InputError: the text is something else.
    """
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (name.isidentifier() and math.isfinite(number)):
        raise InputError(f"--arguments {text}: expected name=value, with a plain number")
    return name, int(number) if re.fullmatch(r"[+-]?\d+", value.strip()) else number


def find(model: str, sha256: str = "") -> OwnNetwork:
    """Import the module that `model` names, in the version that a run recorded, and return its function.

    A module whose file changed since it was imported, as in a notebook, is imported again.

    Args:
        model: `PACKAGE.MODULE:FUNCTION`.
        sha256: of the module's file in a run; empty for any version.

    Raises:
        InputError: the module or function is not there, is of another version, or fails while it is imported.
    """
    where, (module, _, attribute) = f"--model {model}", model.partition(":")
    file = _source_of(where, module)
    found = sha256_of(file)
    if sha256 not in ("", found):
        raise InputError(
            f"{where}: {file.name} is not the version that the run was made with (SHA-256 {found[:12]}, not "
            f"{sha256[:12]}); put that version back, or start a new run"
        )
    quiet_tensorflow()  # before the module imports it
    try:
        imported = sys.modules.get(module)
        if imported is None:
            imported = importlib.import_module(module)
        elif _imported.get(module) != found:
            imported = importlib.reload(imported)
    except Exception as error:
        raise InputError(f"{where}: importing {module} failed: {what_failed(error, file)}") from error
    _imported[module] = found
    function = getattr(imported, attribute, None)
    if not callable(function):
        near = ", ".join(name for name, each in vars(imported).items() if _is_function_of(each, module)) or "none"
        raise InputError(f"{where}: {file.name} has no function {attribute}; its functions are: {near}")
    if IMAGE_SIZE not in inspect.signature(function).parameters:
        raise InputError(f"{where}: {attribute} takes no argument {IMAGE_SIZE}; it has to: def {attribute}(image_size)")
    return OwnNetwork(model, function, found)


def _is_function_of(value: Any, module: str) -> bool:
    return inspect.isfunction(value) and value.__module__ == module and not value.__name__.startswith("_")


def what_failed(error: BaseException, file: Path) -> str:
    """Return what code of the user raised, and the last of its lines that led there, on one line."""
    place, trace = "", error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == file:
            place = f" (line {trace.tb_lineno} of {file.name})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {reason_of(error):.200}{place}"


def look_in_working_folder() -> None:
    """Let modules of the working folder be imported, as `python -m` does and an installed command does not.

    It is looked in last, so that no file there hides a package. A folder that was the working folder at an earlier
    call is looked in no longer.
    """
    sys.path[:] = [path for path in sys.path if path not in _looked_in]
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())
        _looked_in.add(os.getcwd())


def _source_of(where: str, module: str) -> Path:
    """Return the source file of a module in the working folder or among the installed packages."""
    if module == "__main__":
        raise InputError(
            f"{where} is a function of a notebook or script, which other processes cannot find; write it to a file of "
            "its own, such as my_network.py, and name my_network:FUNCTION"
        )
    look_in_working_folder()
    importlib.invalidate_caches()  # the file may be a moment old
    parent = module.rpartition(".")[0]
    try:  # by the finder, because `importlib.util.find_spec` answers for a module that is imported by where it was then
        spec = PathFinder.find_spec(module, importlib.import_module(parent).__path__ if parent else None)
    except (ImportError, AttributeError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise InputError(
            f"{where}: there is no module {module} in this environment; start where {module.replace('.', '/')}.py "
            "lies, or install its package"
        )
    return Path(spec.origin)
