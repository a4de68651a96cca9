"""Keep libraries from writing notes for developers to the terminal."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pneumo_tfds.program import libraries


@contextmanager
def standard_error_held_back() -> Iterator[None]:
    """Hold back what is written to standard error, also by C++ code; show it only if the block raises."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(terminal, notes.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def quiet_tensorflow() -> None:
    """Import TensorFlow without its start-up notes. `TF_CPP_MIN_LOG_LEVEL`, if set, decides about later ones."""
    libraries.ask("TF_CPP_MIN_LOG_LEVEL", "3")
    libraries.prepare_tensorflow()
    libraries.say()
    if "tensorflow" not in sys.modules:
        with standard_error_held_back():
            importlib.import_module("tensorflow")


@contextmanager
def errors_only(logger: str, least: int = logging.ERROR) -> Iterator[None]:
    """Let a logger of another library write errors only (or from `least` on); the empty name is the root logger."""
    muted = logging.getLogger(logger)
    level = muted.level
    muted.setLevel(least)
    try:
        yield
    finally:
        muted.setLevel(level)
