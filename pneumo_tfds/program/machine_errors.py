"""What the machine may refuse whatever the user gave: room, rights, memory. Each becomes one line, like bad input."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

from pneumo_tfds.program.files import FULL

LOWERED = ("batch_size", "image_size", "parity_images", "calibration_images", "ensemble_size", "workers", "threads")
"""Settings that take less memory when they are lower, those that help most first."""


LIBRARIES = (
    ("tensorflow.python.framework.errors_impl", "ResourceExhaustedError"),
    ("cv2", "error"),
    ("onnxruntime.capi.onnxruntime_pybind11_state", "RuntimeException"),
    ("onnxruntime.capi.onnxruntime_pybind11_state", "Fail"),
)
"""Modules and the exceptions of theirs that may be about memory."""

_ABOUT_MEMORY = ("out of memory", "insufficient memory", "failed to allocate", "bad_alloc", "bad alloc")


def refusals() -> tuple[type[Exception], ...]:
    """Give the exceptions that say the machine refused, for an `except` clause: libraries not imported raise none."""
    found = [getattr(sys.modules[name], kind) for name, kind in LIBRARIES if sys.modules.get(name)]
    return (OSError, MemoryError, *found)


def explained(error: Exception, config: Any) -> str | None:
    """Give one line about a refusal: what was refused and what to do; None if the error is none.

    Args:
        error: one of `refusals()`.
        config: the command's flags, of which those that lower the need of memory are named; None before they are known.
    """
    if isinstance(error, OSError):
        where = " to ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        what = f"cannot read or write {where}" if where else "cannot read or write"
        remedy = "make room there" if error.errno in FULL else "check that it is there and may be used"
        return f"{what}: {error.strerror or error}; {remedy}"
    if isinstance(error, MemoryError) or _about_memory(error):
        flags = set(_names(config))
        lower = [f"--{name.replace('_', '-')}" for name in LOWERED if name in flags]
        lower += ["--cache off"] if "cache" in flags else []
        remedy = f"lower {', '.join(lower)}" if lower else "end other programs or use a machine with more"
        reason = next(iter(str(error).splitlines()), "none left")
        return f"not enough memory ({reason:.200}); {remedy}"
    return None


def _about_memory(error: Exception) -> bool:
    text = str(error).lower()
    return type(error).__name__ == "ResourceExhaustedError" or any(words in text for words in _ABOUT_MEMORY)


def _names(config: Any) -> Iterator[str]:
    """The names of all flags of a command, whose dataclass may hold others."""
    if dataclasses.is_dataclass(config):
        for field in dataclasses.fields(config):
            yield field.name
            yield from _names(getattr(config, field.name))
