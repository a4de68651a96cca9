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
from pathlib import Path
from typing import Any, get_args

import numpy as np
import psutil
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.augmentation import augment
from pipeline.config import AugmentConfig, Switch
from pipeline.data import aligned_arrays, batches
from pipeline.data.split import StoredSplit, open_splits
from pneumo_tfds.program.errors import InputError

LARGEST_SEED = 2**32 - 1


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

    The order of an epoch, and the changes of its images, are those of `pipeline.train` for the same seed, batch size
    and number of the epoch. `skip(n)` leaves out the first n batches of an epoch and changes nothing else.

    Args:
        dataset: folder of a built dataset, `.../pneumo_tfds/gray_192/1.1.0`.
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
    make = _from_memory if part.in_memory(cache) else _from_records
    steps = part.count // batch_size
    numbered = make(part, batch_size, seed, first_epoch).apply(tf.data.experimental.assert_cardinality(steps))
    if augmentation is None or not augmentation.augment:
        return _finished(numbered.map(lambda step, images, labels: (images, labels)))

    @tf.function(jit_compile=True)  # uncompiled, these gathers are several times slower (docs/explanation/speed.md)
    def changed(images: Any, uniform: Any) -> Any:
        return augment.apply(images, augment.sample(uniform, augmentation, part.image_size))

    def with_changes(step: Any, images: Any, labels: Any) -> tuple[Any, Any]:
        uniform = tf.numpy_function(lambda step: augment.draw(seed, step, batch_size), [step], tf.float32)
        return changed(images, tf.ensure_shape(uniform, (batch_size, augment.DRAWS))), labels

    return _finished(numbered.map(with_changes))


def evaluation_dataset(
    dataset: Path | str, *, split: str = "validation", batch_size: int = 64, cache: Switch = "auto"
) -> tf.data.Dataset:
    """Return batches of every image once, in the order of the records; the last one may be smaller.

    Args:
        dataset: folder of a built dataset, `.../pneumo_tfds/gray_192/1.1.0`.
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


def _epochs(first: int) -> tf.data.Dataset:
    """Return one number, int64 `[]`: that of the next epoch, whenever it is iterated."""
    numbers = itertools.count(first)
    return tf.data.Dataset.range(1).map(
        lambda _: tf.ensure_shape(tf.numpy_function(lambda: np.int64(next(numbers)), [], tf.int64), ())
    )


def _from_memory(part: StoredSplit, batch_size: int, seed: int, first_epoch: int) -> tf.data.Dataset:
    """Return batches with the number of their step before them, gathered by TensorFlow from the array of the split."""
    images, labels = _tensors(part)
    steps = part.count // batch_size

    def order(epoch: int) -> NDArray[np.int64]:
        return batches.shuffled(part.count, seed, int(epoch))[: steps * batch_size].reshape(steps, batch_size)

    def rows_of(epoch: tf.Tensor) -> tf.data.Dataset:
        rows = tf.ensure_shape(tf.numpy_function(order, [epoch], tf.int64), (steps, batch_size))
        return tf.data.Dataset.from_tensor_slices(rows).enumerate((epoch - 1) * steps)

    numbered = _epochs(first_epoch).flat_map(rows_of)
    return numbered.map(lambda step, rows: (step, tf.gather(images, rows), tf.gather(labels, rows)))


def _from_records(part: StoredSplit, batch_size: int, seed: int, first_epoch: int) -> tf.data.Dataset:
    """Return what `_from_memory` does, streamed by the chain that our own training has."""
    files, steps = len(part.checked_files), part.count // batch_size

    def order(epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return batches.shuffled(files, seed, int(epoch)), np.array(batches.epoch_seed(seed, int(epoch)))

    def records_of(epoch: tf.Tensor) -> tf.data.Dataset:
        chosen, number = tf.numpy_function(order, [epoch], (tf.int64, tf.int64))
        shaped = tf.ensure_shape(chosen, (files,)), tf.ensure_shape(number, ())
        return batches.shuffled_records(part, batch_size, *shaped).enumerate((epoch - 1) * steps)

    def parsed(step: tf.Tensor, records: tf.Tensor) -> tuple[Any, Any, Any]:
        batch = part.parse(records)
        return step, batch["image"], batch["label"]

    return _epochs(first_epoch).flat_map(records_of).map(parsed, tf.data.AUTOTUNE)


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
