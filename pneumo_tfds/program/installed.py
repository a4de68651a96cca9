"""What is installed, without importing it."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version


def is_installed(module: str) -> bool:
    """Return whether a module, such as `torch` or `grpc.aio`, can be found."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is absent
        return False


def version_of(package: str) -> str:
    """Return the version of an installed package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
