"""Releasing the memory that Keras and TensorFlow keep of the networks of finished trials.

Keras's `Optimizer.apply` reduces gradients over replicas (here a single one) through `tf.custom_gradient`. Inside a
compiled step this registers a gradient under a new name in a registry of the whole process. The entry refers to the
graph and so to every variable: 55 MiB a trial for `compact`, which neither `clear_session` nor the garbage collector
can free. KerasTuner's issues 395, 873 and 1031 report this growth. Nothing differentiates through the graph of a
finished trial, so the names that the trial added can be removed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import keras
from tensorflow.python.framework import ops

PREFIX = "CustomGradient-"  # of the names that tf.custom_gradient registers


@contextmanager
def releasing_memory() -> Iterator[None]:
    """Release, at the end of the block, what TensorFlow and Keras keep of the networks trained inside it."""
    before = _registered()
    try:
        yield
    finally:
        for name in _registered() - before:
            del ops.gradient_registry._registry[name]
        keras.utils.clear_session()  # collects garbage too: a training step and its graph refer to each other
        with suppress(AttributeError):  # not glibc
            # Return freed pages to the system; otherwise the remains of a trial lie between those of the next.
            ctypes.CDLL(None).malloc_trim(0)


def _registered() -> set[str]:
    # TensorFlow has no public access to this registry. If a later version moves it, memory grows and nothing breaks.
    registry = getattr(ops.gradient_registry, "_registry", {})
    return {name for name in registry if name.startswith(PREFIX)}
