"""From TFRecords on disk to batches: records, cache, shuffle, batch, prefetch.

A split that fits is read once and lies on the training device as uint8; a batch is gathered there, so that on a GPU
only row numbers cross the bus. One that does not fit is streamed from its files. Training sees every image once an
epoch, in an order fixed by (seed, epoch), and drops the incomplete last batch, so that every step has one shape.
Evaluation sees every image, in the order of the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tensorflow as tf
from google.protobuf import json_format  # type: ignore[import-untyped]
from numpy.typing import NDArray

from pipeline.config import Switch
from pipeline.data import tfrecord_pixels
from pipeline.data.data_service import served
from pneumo_tfds.prepared import VERSION
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import read_json

EVERY_ROW = slice(None)
BROKEN = (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError)  # files
REBUILD = "build the dataset again with --overwrite"
PARSE_BATCH = 64  # records parsed by one op: what stays in the L2 cache at 224 pixels (docs/explanation/speed.md)
SHUFFLE_BYTES = 512 * 2**20  # what a stream's shuffle buffer may hold
MEMORY_SHARE = 0.125  # of the machine's memory, for pixels that a GPU holds once more
TEXT, TEXTS = tf.io.FixedLenFeature([], tf.string), ("patient", "subtype", "filename")
FEATURES = {"label": tf.io.FixedLenFeature([], tf.int64), **dict.fromkeys(TEXTS, TEXT)}  # of a record, beside `image`


@dataclass(frozen=True)
class Examples:
    """One split in memory. Row i of each array is image i."""

    images: NDArray[np.uint8]
    """`[n, S, S, 1]`"""
    labels: NDArray[np.int64]
    """`[n]`, 0 NORMAL, 1 PNEUMONIA"""
    patients: NDArray[np.str_]
    """`[n]`"""
    subtypes: NDArray[np.str_]
    """`[n]`: normal, bacteria, virus or unknown"""
    filenames: NDArray[np.str_]
    """`[n]`, relative to the source"""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Split:
    """One split of a built dataset, on disk."""

    name: str
    files: tuple[str, ...]
    count: int
    image_size: int

    @classmethod
    def of(cls, name: str, examples: Examples) -> Split:
        """Make a split of images that are in memory already."""
        split = cls(name, (), len(examples), examples.images.shape[1])
        split.__dict__["examples"] = examples
        return split

    @property
    def bytes(self) -> int:
        """Size of the pixels in memory."""
        return self.count * self.image_size**2

    def fits(self, cache: Switch) -> bool:
        """Say whether the pixels are to be kept in memory: as asked, or if an eighth of the machine's holds them.

        Not of what is free just now: in memory training has another order, and the same run must have the same one.
        """
        if not self.files:
            return True
        if cache != "auto" or "examples" in self.__dict__:  # what is there already takes no more
            return cache != "off"
        return self.bytes < MEMORY_SHARE * int(psutil.virtual_memory().total)

    @cached_property
    def sound_files(self) -> tuple[str, ...]:
        """The files, looked over once: no record declares more than its file holds."""
        tfrecord_pixels.check_lengths(self.files)
        return self.files

    @cached_property
    def examples(self) -> Examples:
        """The whole split in memory, read once.

        Raises:
            InputError: a record file is damaged.
        """
        images = tfrecord_pixels.aligned((self.count, self.image_size, self.image_size, 1))
        values = tfrecord_pixels.read(self.files, images, FEATURES) or self._fill(images)
        try:
            text = {name: np.char.decode(values[name].astype(bytes), "utf-8") for name in TEXTS}
        except UnicodeDecodeError as error:
            raise InputError(f"{self.files[0]} is damaged: a name in it is no UTF-8; build it again") from error
        if not np.isin(values["label"], (0, 1)).all():
            raise InputError(f"{self.files[0]} is damaged: a label in it is neither 0 nor 1; build it again")
        return Examples(images, values["label"], text["patient"], text["subtype"], text["filename"])

    def _fill(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Do with `tf.data` what `pixels.read` did not, or find out why."""
        rows: dict[str, list[Any]] = {name: [] for name in FEATURES}
        position = 0
        for batch in self._parsed():
            size = len(batch["label"])
            if position + size <= self.count:
                images[position : position + size] = batch["image"]
            position += size
            for name, values in rows.items():
                values.append(batch[name])
        if position != self.count:
            raise InputError(f"{self.files[0]}: {self.name} holds {position} of {self.count} images; build it again")
        return {name: np.concatenate(values) for name, values in rows.items()}

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The labels alone, `[n]`, without keeping the pixels."""
        if "examples" in self.__dict__:
            return self.examples.labels
        return np.concatenate([batch["label"] for batch in self._parsed()])

    @cached_property
    def tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Images and labels of the whole split on the training device, put there once."""
        return tfrecord_pixels.as_tensor(self.examples.images), tf.constant(self.examples.labels)

    def _parsed(self) -> Iterator[dict[str, NDArray[Any]]]:
        records = tf.data.TFRecordDataset(self.sound_files).batch(PARSE_BATCH)
        return self._checked(records.map(self._parse, tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator())

    def _checked(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Pass batches on; a file that cannot be read is an `InputError`."""
        try:
            yield from batches
        except (*BROKEN, UnicodeDecodeError) as error:  # the latter where TensorFlow repeats the damaged bytes
            reason, folder = str(getattr(error, "message", error)).partition("\n")[0], Path(self.files[0]).parent
            raise InputError(
                f"a record file of {folder} is damaged or not of {self.image_size} pixels ({reason}); build it again"
            ) from error

    def _parse(self, records: tf.Tensor) -> dict[str, tf.Tensor]:
        batch: dict[str, tf.Tensor] = tf.io.parse_example(records, {**FEATURES, "image": TEXT})
        size = self.image_size
        count = tf.size(batch["label"])
        batch["image"] = tf.reshape(tf.io.decode_raw(batch["image"], tf.uint8), (count, size, size, 1))
        return batch


def open_splits(dataset: Path, image_size: int | None = None) -> dict[str, Split]:
    """Open a dataset that `pneumo_tfds` built.

    Args:
        dataset: its folder, `.../pneumo_tfds/gray_224/1.0.0`.
        image_size: what the images must have, pixels; None takes any.

    Raises:
        InputError: there is no such dataset, or it is another one, or of another version or size.
    """
    if not (dataset / "dataset_info.json").exists():
        raise InputError(f"{dataset} holds no built dataset; make one with python -m pneumo_tfds build --source PATH")
    information = read_json(dataset / "dataset_info.json", REBUILD)
    name, version = (information.get(key) if isinstance(information, dict) else None for key in ("name", "version"))
    if name != "pneumo_tfds":
        raise InputError(f"{dataset} holds the dataset {name}, not pneumo_tfds; name one of ours")
    if version != VERSION:
        raise InputError(f"{dataset} is of version {version}, and this program reads {VERSION}; build it again")
    try:
        size, splits = _as_described(dataset)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, json_format.ParseError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{dataset}: what its JSON files say cannot be read ({reason:.200}); {REBUILD}") from error
    if image_size not in (None, size):
        raise InputError(f"{dataset} holds images of {size} pixels, not {image_size}; give --image-size {size}")
    return splits


def _as_described(dataset: Path) -> tuple[int, dict[str, Split]]:
    """Ask TFDS what the dataset's dataset_info.json and features.json say of it: the side of images, and the splits."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(dataset))
    size = int(builder.info.features["image"].shape[0])
    return size, {
        name: Split(name, tuple(str(path) for path in split.filepaths), split.num_examples, size)
        for name, split in builder.info.splits.items()
        if split.num_examples
    }


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
    """One epoch of batches of `batch_size` images, shuffled by (seed, epoch); the incomplete last one is dropped.

    Args:
        split: what is learned from.
        batch_size: images a step, on all devices together.
        seed: with `epoch`, decides the order. What is kept in memory has another order than what is streamed.
        epoch: counted from 1.
        cache: whether to keep the pixels in memory.
        rows: which rows of each batch to give: what another worker computes is not parsed here.
        service: HOST:PORT of a tf.data service to stream from; the order is that of streaming.

    Raises:
        InputError: the split holds less than one batch, or a record file is damaged.
    """
    if batch_size > split.count:
        raise InputError(f"--batch-size is {batch_size}, but {split.name} holds {split.count} images; make it smaller")
    if service and not split.files:
        raise InputError("--data-service serves record files, and --hold-out makes a split in memory; leave one out")
    order = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    if not service and split.fits(cache):
        return _gathered(split, batch_size, np.random.default_rng(order).permutation(split.count), rows=rows)
    files = np.random.default_rng(order).permutation(split.sound_files)
    chain = (
        tf.data.Dataset.from_tensor_slices(files)
        .interleave(tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .shuffle(max(batch_size, SHUFFLE_BYTES // split.image_size**2), seed=order, reshuffle_each_iteration=False)
        .batch(batch_size, drop_remainder=True)
        .map(lambda records: split._parse(records[rows]), tf.data.AUTOTUNE)
        .map(lambda batch: (batch["image"], batch["label"]))
    )
    return split._checked(served(chain, service) if service else chain.prefetch(tf.data.AUTOTUNE))


def evaluation_batches(split: Split, batch_size: int, *, cache: Switch = "auto") -> Iterator[Batch]:
    """Every example once, in the order of the records; the last batch may be smaller."""
    if split.fits(cache):
        return _gathered(split, batch_size, np.arange(split.count), keep_rest=True)
    chain = (
        tf.data.TFRecordDataset(split.sound_files)
        .batch(batch_size)
        .map(split._parse, tf.data.AUTOTUNE)
        .map(lambda batch: (batch["image"], batch["label"]))
        .prefetch(tf.data.AUTOTUNE)
    )
    return split._checked(chain)


def _gathered(
    split: Split, batch_size: int, order: NDArray[np.int64], *, rows: slice = EVERY_ROW, keep_rest: bool = False
) -> Iterator[Batch]:
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    end = len(order) if keep_rest else len(order) - len(order) % batch_size
    for start in range(0, end, batch_size):
        chosen = order[start : start + batch_size][rows]
        if on_gpu:
            images, labels = split.tensors
            yield tf.gather(images, chosen), tf.gather(labels, chosen)
        else:
            yield tfrecord_pixels.gathered(split.examples.images, chosen), tf.constant(split.examples.labels[chosen])
