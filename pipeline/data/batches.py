"""From a split to batches: records, shuffle, batch, parse, prefetch.

A split that fits into memory is read once and lies on the training device as uint8; a batch is gathered there, so that
on a GPU only row numbers cross the bus. One that does not fit is streamed from its files. Training sees every image
once an epoch, in an order fixed by (seed, epoch), and drops the incomplete last batch, so that every step has one
shape. Evaluation sees every image, in the order of the records.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.config import Switch
from pipeline.data import aligned_arrays
from pipeline.data.data_service import served
from pipeline.data.split import MemorySplit, Split
from pneumo_tfds.program.errors import InputError

EVERY_ROW = slice(None)
SHUFFLE_BYTES = 512 * 2**20  # most that the shuffle buffer of a stream may hold

Batch = tuple[tf.Tensor, tf.Tensor]
"""Images uint8 `[b, S, S, 1]` and labels int64 `[b]`."""


def training_batches(
    split: Split,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    cache: Switch = "auto",
    rows: slice = EVERY_ROW,
    service: str | None = None,
) -> Iterator[Batch]:
    """Return one epoch of batches of `batch_size` images, shuffled by (seed, epoch), without an incomplete last one.

    Args:
        split: the images to learn from.
        batch_size: images in a step, on all devices together.
        seed: decides the order, together with `epoch`. What is kept in memory has another order than what is streamed.
        epoch: counted from 1.
        cache: whether to keep the pixels in memory.
        rows: the rows of each batch to return: those that other workers compute are not parsed here.
        service: HOST:PORT of a tf.data service to stream from; the order is that of streaming.

    Raises:
        InputError: the split holds less than one batch, or a record file is damaged.
    """
    if batch_size > split.count:
        raise InputError(f"--batch-size is {batch_size}, but {split.name} holds {split.count} images; make it smaller")
    order = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    random = np.random.default_rng(order)
    if not service and split.in_memory(cache):
        return _gathered(split, random.permutation(split.count), batch_size, rows, drop_remainder=True)
    if isinstance(split, MemorySplit):
        raise InputError("--data-service serves record files, but --hold-out makes splits in memory; leave one out")
    chain = (
        tf.data.Dataset.from_tensor_slices(random.permutation(split.checked_files))
        .interleave(tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .shuffle(max(batch_size, SHUFFLE_BYTES // split.image_size**2), seed=order, reshuffle_each_iteration=False)
        .batch(batch_size, drop_remainder=True)
        .map(lambda records: split.parse(records[rows]), tf.data.AUTOTUNE)
        .map(lambda batch: (batch["image"], batch["label"]))
    )
    return split.explained(served(chain, service) if service else chain.prefetch(tf.data.AUTOTUNE))


def evaluation_batches(split: Split, batch_size: int, *, cache: Switch = "auto") -> Iterator[Batch]:
    """Return batches of every example once, in the order of the records; the last one may be smaller."""
    if isinstance(split, MemorySplit) or split.in_memory(cache):
        return _gathered(split, np.arange(split.count), batch_size)
    chain = (
        tf.data.TFRecordDataset(split.checked_files)
        .batch(batch_size)
        .map(split.parse, tf.data.AUTOTUNE)
        .map(lambda batch: (batch["image"], batch["label"]))
        .prefetch(tf.data.AUTOTUNE)
    )
    return split.explained(chain)


def _gathered(
    split: Split, order: NDArray[np.int64], batch_size: int, rows: slice = EVERY_ROW, *, drop_remainder: bool = False
) -> Iterator[Batch]:
    """Yield `rows` of each batch of a split in memory, its images taken in the given order of their numbers."""
    examples, on_gpu = split.examples, bool(tf.config.list_logical_devices("GPU"))
    end = len(order) - len(order) % batch_size if drop_remainder else len(order)
    for start in range(0, end, batch_size):
        chosen = order[start : start + batch_size][rows]
        if on_gpu:
            images, labels = examples.tensors
            yield tf.gather(images, chosen), tf.gather(labels, chosen)
        else:
            yield aligned_arrays.gather(examples.images, chosen), tf.constant(examples.labels[chosen])
