"""From a split to batches: records, shuffle, batch, parse, prefetch.

A split that fits into memory is read once and lies on the training device as uint8; a batch is gathered there, so that
on a GPU only row numbers cross the bus. One that does not fit is streamed from its files. Training sees every image
once an epoch, in an order fixed by (seed, epoch), and drops the incomplete last batch, so that every step has one
shape. Evaluation sees every image, in the order of the records.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.config import Switch
from pipeline.data import aligned_arrays
from pipeline.data.split import MemorySplit, Split, StoredSplit, targets_of
from pneumo_tfds.program.errors import InputError

EVERY_ROW = slice(None)
SHUFFLE_BYTES = 512 * 2**20  # most that the shuffle buffer of a stream may hold
GRAPH_SEED = 1  # any number but 0
SERVICE_TIMEOUT = 5.0  # seconds for the tf.data service to answer at all; TensorFlow itself would retry for an hour

Batch = tuple[tf.Tensor, tf.Tensor]
"""Images uint8 `[b, S, S, 1]`, and labels int64 `[b]` or, for training, what `targets_of` makes of them, `[b, 2]`."""


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

    What is kept in memory has another order than what is streamed. `batch_size` counts the images of a step on all
    devices together, and `rows` are those of each batch to return: what other workers compute is not parsed here.
    `service` is HOST:PORT of a tf.data service to stream from.

    Raises:
        InputError: the split holds less than one batch, or a record file is damaged.
    """
    if batch_size > split.count:
        raise InputError(f"--batch-size is {batch_size}, but {split.name} holds {split.count} images; make it smaller")
    if not service and split.in_memory(cache):
        order = shuffled(split.count, seed, epoch)
        return _gathered(split, split.examples.targets, order, batch_size, rows, drop_remainder=True)
    if isinstance(split, MemorySplit):
        raise InputError("--data-service serves record files, but --hold-out makes splits in memory; leave one out")
    files = shuffled(len(split.checked_files), seed, epoch)
    chain = (
        tf.data.Dataset.from_tensors((files, np.int64(epoch_seed(seed, epoch))))
        .flat_map(lambda files, number: shuffled_records(split, batch_size, files, number))
        .map(lambda records: split.parse(records[rows]), tf.data.AUTOTUNE)
        .map(lambda batch: (batch["image"], targets_of(batch["label"], batch["subtype"])))
    )
    return split.explained(_served(chain, service) if service else chain.prefetch(tf.data.AUTOTUNE))


def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of the images of an epoch, or of its files: a permutation of `count` numbers."""
    return np.random.default_rng(epoch_seed(seed, epoch)).permutation(count)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return a number from 0 to 2^32 - 1 for an epoch, from which its order is drawn."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def shuffled_records(split: StoredSplit, batch_size: int, files: Any, number: Any) -> tf.data.Dataset:
    """Return batches of serialised records, without an incomplete last one. Call it in a function of a dataset.

    `files` is the order of the files, `[files]`, and `number` the seed of what is shuffled; both may be tensors.
    """
    # The seed of this function's graph alone: the order must not depend on the seed that the program set.
    tf.random.set_seed(GRAPH_SEED)
    return (
        tf.data.Dataset.from_tensor_slices(tf.gather(tf.constant(split.checked_files), files))
        .interleave(tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .shuffle(max(batch_size, SHUFFLE_BYTES // split.image_size**2), seed=number, reshuffle_each_iteration=False)
        .batch(batch_size, drop_remainder=True)
    )


def _served(chain: tf.data.Dataset, address: str) -> Iterator[Any]:
    """Let the tf.data service at `address`, HOST:PORT, run a chain of batches; yield the batches in the chain's order.

    One machine with disks and cores can so serve many trainers. The files of the chain must have the same paths there,
    or be in the cloud. The batches are numbered, and the numbers are checked: a trainer gets the batches that it would
    have read itself, in the same order, or training ends.

    Raises:
        InputError: the service does not answer, cannot read the files, or returns batches out of order.
    """
    flag = f"--data-service {address}"
    try:
        host, port = address.split(":")
        socket.create_connection((host, int(port)), SERVICE_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{flag}: nothing answers there ({error}); start the service first (docs/how-to/many-machines.md)"
        ) from error
    service = tf.data.experimental.service
    remote = chain.enumerate().apply(
        service.distribute(service.ShardingPolicy.OFF, f"grpc://{address}", max_outstanding_requests=4)
    )
    for expected, (number, batch) in enumerate(remote.prefetch(tf.data.AUTOTUNE)):
        if int(number) != expected:
            raise InputError(
                f"{flag}: batch {int(number)} arrived instead of batch {expected}; give the dispatcher one worker, "
                "because each worker serves the whole epoch"
            )
        yield batch


def evaluation_batches(split: Split, batch_size: int, *, cache: Switch = "auto") -> Iterator[Batch]:
    """Return batches of every example once, in the order of the records; the last one may be smaller."""
    if isinstance(split, MemorySplit) or split.in_memory(cache):
        return _gathered(split, split.examples.labels, np.arange(split.count), batch_size)
    return split.explained(evaluation_stream(split, batch_size).prefetch(tf.data.AUTOTUNE))


def evaluation_stream(split: StoredSplit, batch_size: int) -> tf.data.Dataset:
    """Return the chain that streams every example once, in the order of the records."""
    return (
        tf.data.TFRecordDataset(split.checked_files)
        .batch(batch_size)
        .map(split.parse, tf.data.AUTOTUNE)
        .map(lambda batch: (batch["image"], batch["label"]))
    )


def _gathered(
    split: Split,
    labels: NDArray[np.int64],
    order: NDArray[np.int64],
    batch_size: int,
    rows: slice = EVERY_ROW,
    *,
    drop_remainder: bool = False,
) -> Iterator[Batch]:
    """Yield `rows` of each batch of a split in memory and of its labels, taken in the given order of their numbers."""
    examples, on_gpu = split.examples, bool(tf.config.list_logical_devices("GPU"))
    end = len(order) - len(order) % batch_size if drop_remainder else len(order)
    for start in range(0, end, batch_size):
        chosen = order[start : start + batch_size][rows]
        images = tf.gather(examples.on_device, chosen) if on_gpu else aligned_arrays.gather(examples.images, chosen)
        yield images, tf.constant(labels[chosen])
