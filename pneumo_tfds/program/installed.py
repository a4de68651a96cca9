"""What is installed, without importing it."""

from __future__ import annotations

import functools
import importlib.util
from importlib.metadata import PackageNotFoundError, distributions, version


def is_installed(module: str) -> bool:
    """Return whether a module, such as `torch` or `grpc.aio`, can be found."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is absent
        return False


def require_installed(module: str) -> None:
    """Raise the error of a missing module now, where its import comes later, after files were written."""
    if not is_installed(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def version_of(package: str) -> str:
    """Return the version of an installed package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@functools.cache
def record() -> str:
    """Return the list of files that pip installed for this project; empty if it is used without an installation.

    The folder of a clone may hold metadata too, without such a list, and come first where Python looks.
    """
    return next(filter(None, (found.read_text("RECORD") for found in distributions(name="pneumo"))), "")


def how_to_install(extra: str) -> str:
    """Return the words that say how to install an extra of this project.

    The name alone asks pip for what an installed pneumo lacks. Where none is installed, it would ask the package index
    for a stranger's package of that name, so a clone is named instead.
    """
    where, name = ("", "pneumo") if record() else (" in the clone", ".")
    return f"install it{where} with: pip install '{name}[{extra}]'"
