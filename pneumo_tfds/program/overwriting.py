"""Refuse outputs that would replace what the same command reads, or each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pneumo_tfds.program.errors import InputError

STANDARD_OUTPUT = "-"


def refuse_overwriting(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Check the files that a command writes before it writes any, whatever names they are given by.

    Args:
        outputs: flag to its file; None and `-`, which is standard output, are passed over.
        inputs: files that the command reads; None is passed over.

    Raises:
        InputError: an output is an input, or two outputs are one file.
    """
    flags: dict[object, str] = {}
    for flag, path in outputs.items():
        if path is not None and str(path) != STANDARD_OUTPUT:
            other = flags.setdefault(_identity(path), flag)
            if other != flag:
                raise InputError(f"{other} and {flag} both name {path}; give them a file each")
    for path in inputs if flags else ():
        output = None if path is None else flags.get(_identity(path))
        if output is not None:
            given = outputs[output]
            alias = "" if given == path else f", another name of {path}"
            raise InputError(f"{output} {given} is an input{alias}, which stays as it is; name another file")


def _identity(path: Path) -> object:
    """Return what all names of a file have in common; of one that is not there, its path without symbolic links."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
