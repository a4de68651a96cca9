"""Why memory grows over the trials of a search, and what gives it back.

Keras's `Optimizer.apply` reduces gradients over replicas (there is one) through `tf.custom_gradient`. Inside a compiled
step that registers a gradient under a fresh name in a registry of the whole process, and what is registered holds the
graph and with it every variable: 55 MiB a trial for `compact`, out of reach of `clear_session` and of the garbage
collector. This is the growth that KerasTuner's issues 395, 873 and 1031 report. Nothing differentiates through the
graph of a finished trial, so the names that a trial added can go.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import keras
from tensorflow.python.framework import ops

PREFIX = "CustomGradient-"  # how tf.custom_gradient names what it registers


@contextmanager
def given_back() -> Iterator[None]:
    """Give back what TensorFlow and Keras keep of the networks trained inside the block."""
    before = _registered()
    try:
        yield
    finally:
        for name in _registered() - before:
            del ops.gradient_registry._registry[name]
        keras.utils.clear_session()  # collects garbage too: a training step and its graph refer to each other
        _trim()


def _registered() -> set[str]:
    # TensorFlow has no public way to this. Where a later version keeps it elsewhere, memory grows and nothing breaks.
    registry = getattr(ops.gradient_registry, "_registry", {})
    return {name for name in registry if name.startswith(PREFIX)}


def _trim() -> None:
    """Let the C library return freed pages; what is left of a trial otherwise lies between those of the next."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        return  # not glibc
