"""Errors of the machine: disk full, permission denied, out of memory. Each is explained in one line, like bad input."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

from pneumo_tfds.program.errors import DISK_FULL, reason_of

MEMORY_SETTINGS = (
    "batch_size", "image_size", "parity_images", "calibration_images", "ensemble_size", "workers", "threads",
)  # fmt: skip
"""Settings that need less memory when they are lower, the most effective first."""

LIBRARY_ERRORS = (
    ("tensorflow.python.framework.errors_impl", "ResourceExhaustedError"),
    ("cv2", "error"),
    ("onnxruntime.capi.onnxruntime_pybind11_state", "RuntimeException"),
    ("onnxruntime.capi.onnxruntime_pybind11_state", "Fail"),
)
"""Modules and their exceptions that may be about memory."""

_ABOUT_MEMORY = ("out of memory", "insufficient memory", "failed to allocate", "bad_alloc", "bad alloc")


def machine_error_types() -> tuple[type[Exception], ...]:
    """Return the exceptions to catch in an `except` clause; only of libraries that are imported already."""
    found = [getattr(sys.modules[name], kind) for name, kind in LIBRARY_ERRORS if sys.modules.get(name)]
    return (OSError, MemoryError, *found)


def explain_machine_error(error: BaseException, config: Any) -> str | None:
    """Return one line that says what the machine refused and what to do, or None if the error is about something else.

    The flags of `config`, the command's dataclass, that need memory are named.
    """
    if isinstance(error, OSError):
        where = " to ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        what = f"cannot read or write {where}" if where else "cannot read or write"
        remedy = "make room there" if error.errno in DISK_FULL else "check that it is there and may be used"
        return f"{what}: {reason_of(error)}; {remedy}"
    if is_about_memory(error):
        text = str(error)
        flags = set(_flag_names(config))
        lower = [f"--{name.replace('_', '-')}" for name in MEMORY_SETTINGS if name in flags]
        lower += ["--cache off"] if "cache" in flags else []
        remedy = f"lower {', '.join(lower)}" if lower else "end other programs or use a machine with more"
        reason = next(iter(text.splitlines()), "none left")
        return f"not enough memory ({reason:.200}); {remedy}"
    return None


def is_about_memory(error: BaseException) -> bool:
    """Return whether an error, ours or that of a library, says that memory was refused."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
    return known or any(words in str(error).lower() for words in _ABOUT_MEMORY)


def _flag_names(config: Any) -> Iterator[str]:
    """Yield the names of all flags of a command, also those of nested dataclasses."""
    if dataclasses.is_dataclass(config):
        for field in dataclasses.fields(config):
            yield field.name
            yield from _flag_names(getattr(config, field.name))
