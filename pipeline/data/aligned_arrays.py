"""Arrays whose memory TensorFlow can use as it is, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike, NDArray

ALIGNMENT = 64  # bytes; TensorFlow's kernels expect the data of a tensor to begin at a multiple


def empty(shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """Return an array of arbitrary values that `as_tensor` can share."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + size].view(dtype).reshape(shape)


def gather(images: NDArray[Any], rows: NDArray[np.int64]) -> tf.Tensor:
    """Copy rows of `[n, ...]` into a tensor in the machine's memory. NumPy is twice as fast at it as `tf.gather`."""
    batch = empty((len(rows), *images.shape[1:]), images.dtype)
    np.take(images, rows, axis=0, out=batch, mode="clip")  # rows are in range, and "raise" would copy once more
    return as_tensor(batch)


def as_tensor(images: NDArray[Any]) -> tf.Tensor:
    """Put images on the training device: on a CPU the same memory if it is aligned, else a copy."""
    if tf.config.list_logical_devices("GPU") or images.ctypes.data % ALIGNMENT or not images.flags.c_contiguous:
        return tf.constant(images)
    return on_host(images)


def on_host(images: NDArray[Any]) -> tf.Tensor:
    """Return a tensor in the machine's memory, that of an array from `empty`."""
    return tf.experimental.dlpack.from_dlpack(images.__dlpack__())
