"""A built dataset as `tf.data.Dataset`s, for the `model.fit` or the training loop of anyone.

    from pipeline import evaluation_dataset, training_dataset

Records are streamed by the chain of our own training. From memory our own training gathers without a chain, because
each of its workers takes its rows alone and a GPU gathers in its own memory, and a chain can do neither.

Each iteration of a training dataset is one epoch, and the next iteration is the next epoch, so that `model.fit` gets a
new order each time. An iteration counts when its first batch is asked for, even if it is not finished; inside the
scope of a distribution strategy, each `fit` of Keras looks at one batch before its first epoch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import psutil
import tensorflow as tf

from pipeline.augmentation import augment, histogram_swap, on_device
from pipeline.config import AugmentConfig, Switch
from pipeline.data import aligned_arrays, batches
from pipeline.data.split import StoredSplit, open_splits
from pneumo_tfds.program.errors import InputError

LARGEST_SEED = 2**32 - 1

Finish = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""From the number of a step, counted from 0 over all epochs, its images and labels, to an element of a dataset."""


def training_dataset(
    dataset: Path | str,
    *,
    split: str = "train",
    batch_size: int = 32,
    seed: int = 0,
    first_epoch: int = 1,
    cache: Switch = "auto",
    augmentation: AugmentConfig | None = None,
) -> tf.data.Dataset:
    """Return shuffled batches without an incomplete last one; each iteration is an epoch with an order of its own.

    The order of an epoch, and the random numbers that decide how its images are changed, are those of `pipeline.train`
    for the same seed, batch size and number of the epoch. `pipeline.train` lets OpenCV make the changes on a CPU
    (`pipeline.augmentation.on_host`), so pixels differ there by rounding and grain. `skip(n)` leaves out
    the first n batches of an epoch and changes nothing else.

    Args:
        dataset: folder of a built dataset, `.../pneumo_tfds/gray_224/1.1.0`.
        split: which of its splits.
        batch_size: images in a batch, of all replicas together: a distribution strategy divides each batch.
        seed: of the order and of the augmentation, 0 to 2^32 - 1.
        first_epoch: the epoch of the first iteration, from 1; training that stopped after epoch 3 goes on with 4.
        cache: keep the pixels in memory (`on`), stream them from the records (`off`), or as `pipeline.train` decides:
            in memory if they need at most an eighth of the machine's.
        augmentation: the ranges of random changes, which the processor makes while the model computes; None for none.

    Returns:
        A dataset of `count // batch_size` batches, which `len` and `cardinality` tell. A batch is a pair of images
        `[batch_size, S, S, 1]`, grey levels 0 to 255, uint8 or with augmentation float32, and labels int64
        `[batch_size]`, 0 NORMAL, 1 PNEUMONIA: the target of `keras.losses.BinaryCrossentropy` for an output `[b, 1]`.
        With several workers, each reads everything and keeps its share.

    Raises:
        InputError: there is no such dataset or split, it holds less than one batch, a record file is damaged, or the
            pixels do not fit into memory. Damage that is found while records are streamed is an error of TensorFlow.
    """
    part = _opened(dataset, split, batch_size, cache)
    _require(0 <= seed <= LARGEST_SEED, "seed", seed, f"from 0 to {LARGEST_SEED}")
    _require(first_epoch >= 1, "first_epoch", first_epoch, "at least 1")
    if batch_size > part.count:
        raise InputError(f"batch_size is {batch_size}, but {split} holds {part.count} images; make it smaller")
    finish: Finish = (
        _with_changes(augmentation, part.image_size, batch_size, seed)
        if augmentation and augmentation.augment
        else lambda step, images, labels: (images, labels)
    )
    make = _from_memory if part.in_memory(cache) else _from_records
    count = tf.data.experimental.assert_cardinality(part.count // batch_size)
    return _finished(make(part, batch_size, seed, first_epoch, finish).apply(count))


def evaluation_dataset(
    dataset: Path | str, *, split: str = "validation", batch_size: int = 64, cache: Switch = "auto"
) -> tf.data.Dataset:
    """Return batches of every image once, in the order of the records; the last one may be smaller.

    Args:
        dataset: folder of a built dataset, `.../pneumo_tfds/gray_224/1.1.0`.
        split: which of its splits.
        batch_size: images in a batch, of all replicas together.
        cache: as for `training_dataset`.

    Returns:
        A dataset of batches as of `training_dataset` without augmentation, the first dimension not fixed.

    Raises:
        InputError: as `training_dataset`, but a batch may be larger than the split.
    """
    part = _opened(dataset, split, batch_size, cache)
    if not part.in_memory(cache):
        count = tf.data.experimental.assert_cardinality(-(-part.count // batch_size))
        return _finished(batches.evaluation_stream(part, batch_size).apply(count))
    images, labels = _tensors(part)
    starts = tf.data.Dataset.range(0, part.count, batch_size)
    return _finished(starts.map(lambda i: (images[i : i + batch_size], labels[i : i + batch_size])))


def _with_changes(config: AugmentConfig, image_size: int, batch_size: int, seed: int) -> Finish:
    """Return a function that changes the images of a batch by the numbers that our own training draws for its step."""
    changed = on_device.compiled(config, image_size)
    swap = partial(histogram_swap.swap, probability=config.histogram_swap)

    def with_changes(step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        uniform = tf.numpy_function(lambda step: augment.draw(seed, step, batch_size), [step], tf.float32)
        swapped = tf.numpy_function(swap, [images, labels, uniform], tf.uint8)
        images = tf.ensure_shape(swapped, images.shape)
        return changed(images, tf.ensure_shape(uniform, (batch_size, augment.DRAWS))), labels

    return with_changes


def _opened(dataset: Path | str, split: str, batch_size: int, cache: Switch) -> StoredSplit:
    """Open a split; its images are in memory if they are to be."""
    _require(batch_size >= 1, "batch_size", batch_size, "at least 1")
    _require(cache in get_args(Switch), "cache", repr(cache), " or ".join(map(repr, get_args(Switch))))
    splits = open_splits(Path(dataset))
    if split not in splits:
        raise InputError(f"{dataset} has no split {split}; it has {', '.join(splits)}")
    part = splits[split]
    if part.in_memory(cache):
        needed, free = part.count * part.image_size**2, int(psutil.virtual_memory().available)
        if needed > free:
            raise InputError(
                f"{split} needs {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; give cache='off'"
            )
    return part


def _from_memory(part: StoredSplit, batch_size: int, seed: int, first_epoch: int, finish: Finish) -> tf.data.Dataset:
    """Return `finish(step, images, labels)` of each batch, gathered by TensorFlow from the array of the split."""
    images, labels = _tensors(part)
    epochs, steps = itertools.count(first_epoch), part.count // batch_size

    def next_epoch() -> tuple[Any, Any]:
        epoch = next(epochs)
        rows = batches.shuffled(part.count, seed, epoch)[: steps * batch_size]
        return np.int64((epoch - 1) * steps), rows.reshape(steps, batch_size)

    def rows_of_an_epoch(_: tf.Tensor) -> tf.data.Dataset:
        first_step, rows = tf.numpy_function(next_epoch, [], (tf.int64, tf.int64))
        rows = tf.ensure_shape(rows, (steps, batch_size))
        return tf.data.Dataset.from_tensor_slices(rows).enumerate(tf.ensure_shape(first_step, ()))

    numbered = tf.data.Dataset.range(1).flat_map(rows_of_an_epoch)
    return numbered.map(lambda step, rows: finish(step, tf.gather(images, rows), tf.gather(labels, rows)))


def _from_records(part: StoredSplit, batch_size: int, seed: int, first_epoch: int, finish: Finish) -> tf.data.Dataset:
    """Return what `_from_memory` does, streamed by the chain that our own training has."""
    files, epochs, steps = len(part.checked_files), itertools.count(first_epoch), part.count // batch_size

    def next_epoch() -> tuple[Any, ...]:
        epoch = next(epochs)
        number = np.int64(batches.epoch_seed(seed, epoch))
        return np.int64((epoch - 1) * steps), batches.shuffled(files, seed, epoch), number

    def records_of_an_epoch(_: tf.Tensor) -> tf.data.Dataset:
        drawn = tf.numpy_function(next_epoch, [], (tf.int64, tf.int64, tf.int64))
        first_step, order, number = map(tf.ensure_shape, drawn, ((), (files,), ()))
        return batches.shuffled_records(part, batch_size, order, number).enumerate(first_step)

    def parsed(step: tf.Tensor, records: tf.Tensor) -> Any:
        batch = part.parse(records)
        return finish(step, batch["image"], batch["label"])

    return tf.data.Dataset.range(1).flat_map(records_of_an_epoch).map(parsed, tf.data.AUTOTUNE)


def _tensors(part: StoredSplit) -> tuple[tf.Tensor, tf.Tensor]:
    """Return images and labels in the machine's memory, also where there is a GPU."""
    with tf.device("CPU"):
        return aligned_arrays.on_host(part.examples.images), tf.constant(part.examples.labels)


def _finished(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prefetch, and set the options."""
    options = tf.data.Options()
    # Workers divide batches, not files: none is lost or repeated, because all of them have the same order.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    # To optimize a chain, TensorFlow copies what it refers to: all images in memory, a second time.
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise InputError(f"{name} is {value}; it must be {allowed}")
