"""Splits of a dataset, in record files or in memory, and how a built dataset is opened.

Both kinds have a `name`, a `count` of images, an `image_size`, `labels`, `subtypes`, and `examples`, which are all of
it in memory. `take` returns some of its examples, and of a split that is streamed keeps no others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tensorflow as tf
from google.protobuf import json_format  # type: ignore[import-untyped]
from numpy.typing import NDArray

from pipeline.config import Switch
from pipeline.data import aligned_arrays, tfrecord_pixels
from pneumo_tfds.prepared import READABLE, REBUILD, framing_of
from pneumo_tfds.program.cores_and_memory import memory_limit
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, read_json
from pneumo_tfds.program.framing_names import Framing
from pneumo_tfds.sources.inventory import KINDS

FILE_ERRORS = (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError)
PARSE_BATCH = 64  # records parsed by one op: what stays in the L2 cache at 224 pixels (docs/explanation/speed.md)
MEMORY_SHARE = 0.125  # of the machine's memory, for pixels that a GPU holds a second time
TEXT, TEXTS = tf.io.FixedLenFeature([], tf.string), ("patient", "subtype", "filename")
FEATURES = {"label": tf.io.FixedLenFeature([], tf.int64), **dict.fromkeys(TEXTS, TEXT)}  # of a record, beside `image`


@dataclass(frozen=True)
class Examples:
    """Images and what is known of them, in memory. Row i of each array is image i."""

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

    def take(self, rows: NDArray[Any]) -> Examples:
        """Return the examples of some rows, given by number or by a mask."""
        return Examples(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def concatenate(parts: Sequence[Examples]) -> Examples:
        """Return the examples of all parts, in order."""
        return Examples(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Examples)))

    @cached_property
    def on_device(self) -> tf.Tensor:
        """The images on the training device, put there once."""
        return aligned_arrays.as_tensor(self.images)

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """What is learned of the images, as of `targets_of`."""
        with tf.device("CPU"):
            return np.asarray(targets_of(tf.constant(self.labels), tf.constant(self.subtypes)))


def targets_of(labels: tf.Tensor, subtypes: tf.Tensor) -> tf.Tensor:
    """Return what is learned, int64 `[n, 2]`, of labels and subtypes `[n]`: a column for each head.

    0 NORMAL or 1 PNEUMONIA; and 0 bacteria, 1 virus, or -1 where that is not known, as of every NORMAL image.
    """
    kinds = sum(tf.cast(subtypes == name, tf.int64) * number for number, name in enumerate(KINDS, start=1)) - 1
    return tf.stack([labels, tf.where(labels == 1, kinds, -1)], axis=1)


@dataclass(frozen=True)
class MemorySplit:
    """A split whose examples are in memory."""

    name: str
    examples: Examples

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.examples)

    @property
    def image_size(self) -> int:
        """Side of the images, pixels."""
        return int(self.examples.images.shape[1])

    @property
    def labels(self) -> NDArray[np.int64]:
        """The labels, int64 `[n]`."""
        return self.examples.labels

    @property
    def subtypes(self) -> NDArray[np.str_]:
        """The subtypes, `[n]`."""
        return self.examples.subtypes

    @property
    def names_and_patients(self) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
        """The file names and the patients, `[n]` each."""
        return self.examples.filenames, self.examples.patients

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Return the examples of some rows, given by number, `[m]`."""
        return self.examples.take(rows)

    def in_memory(self, cache: Switch) -> bool:
        """Return True: there are no files to stream from."""
        return True


@dataclass(frozen=True)
class StoredSplit:
    """A split of a built dataset, in TFRecord files."""

    name: str
    files: tuple[str, ...]
    count: int
    image_size: int

    def in_memory(self, cache: Switch) -> bool:
        """Return whether the pixels are kept in memory: as `cache` says, or if an eighth of the memory holds them.

        That is all memory of the machine, or as much as the control groups of this process allow, and not what is free
        at the moment: the order of training depends on the answer, and the same run must have the same order.
        """
        if cache != "auto" or "examples" in vars(self):  # examples that were read already take no more
            return cache != "off"
        memory = min(int(psutil.virtual_memory().total), memory_limit() or sys.maxsize)
        return self.count * self.image_size**2 < MEMORY_SHARE * memory

    @cached_property
    def examples(self) -> Examples:
        """The whole split in memory, read once.

        Raises:
            InputError: a record file is damaged.
        """
        return self._read(np.arange(self.count))

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Return the examples of some rows, given by number, `[m]`, without keeping the pixels of the others.

        Raises:
            InputError: a record file is damaged.
        """
        return self.examples.take(rows) if "examples" in vars(self) else self._read(rows)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The labels alone, int64 `[n]`, read without keeping the pixels."""
        return self._without_pixels.labels

    @property
    def subtypes(self) -> NDArray[np.str_]:
        """The subtypes alone, `[n]`, read without keeping the pixels."""
        return self._without_pixels.subtypes

    @property
    def names_and_patients(self) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
        """The file names and the patients alone, `[n]` each, read without keeping the pixels."""
        return self._without_pixels.filenames, self._without_pixels.patients

    @property
    def _without_pixels(self) -> Examples:
        """What is known of all images, beside their pixels, which may be there."""
        return self.examples if "examples" in vars(self) else self._streamed

    @cached_property
    def _streamed(self) -> Examples:
        """What is known of all images, read once; the images are `[n, 0, 0, 1]`."""
        none = np.empty((0, self.image_size, self.image_size, 1), np.uint8)
        values = self._read_by_tf_data(np.arange(0), none)
        return self._examples(none.reshape(self.count, 0, 0, 1), values)

    def _read(self, rows: NDArray[np.int64]) -> Examples:
        images = aligned_arrays.empty((len(rows), self.image_size, self.image_size, 1))
        values = tfrecord_pixels.read(self.files, self.count, rows, images, FEATURES)
        if values is None:
            whole = self._read_by_tf_data(rows, images)
            values = {name: column[rows] for name, column in whole.items()}
        return self._examples(images, values)

    def _read_by_tf_data(self, rows: NDArray[np.int64], images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Fill `images` with the pixels of `rows`, and return the other features of all records.

        Raises:
            InputError: a record file is damaged.
        """
        records = tf.data.TFRecordDataset(self.checked_files).batch(PARSE_BATCH)
        batches = records.map(self.parse, tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator()
        rest, position = [], 0
        for batch in self.explained(batches):
            pixels = batch.pop("image")
            here = np.flatnonzero((rows >= position) & (rows < position + len(pixels)))
            images[here] = pixels[rows[here] - position]
            position += len(pixels)
            rest.append(batch)
        if position != self.count:
            raise InputError(f"{self.files[0]}: {self.name} holds {position} of {self.count} images; build it again")
        return {name: np.concatenate([batch[name] for batch in rest]) for name in FEATURES}

    def _examples(self, images: NDArray[np.uint8], values: dict[str, NDArray[Any]]) -> Examples:
        text = {name: self._decoded(values[name]) for name in TEXTS}
        if not np.isin(values["label"], (0, 1)).all():
            raise InputError(f"{self.files[0]} is damaged: a label in it is neither 0 nor 1; build it again")
        return Examples(images, values["label"], text["patient"], text["subtype"], text["filename"])

    def _decoded(self, texts: NDArray[Any]) -> NDArray[np.str_]:
        try:
            return np.char.decode(texts.astype(bytes), "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.files[0]} is damaged: a name in it is not UTF-8; build it again") from error

    @cached_property
    def checked_files(self) -> tuple[str, ...]:
        """The files, checked once: no record declares more than its file holds."""
        tfrecord_pixels.check_frames(self.files)
        return self.files

    def parse(self, records: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parse serialised records `[b]`: their features, with `image` as uint8 `[b, S, S, 1]`."""
        batch: dict[str, tf.Tensor] = tf.io.parse_example(records, {**FEATURES, "image": TEXT})
        pixels = tf.io.decode_raw(batch["image"], tf.uint8)
        batch["image"] = tf.reshape(pixels, (tf.size(batch["label"]), self.image_size, self.image_size, 1))
        return batch

    def explained(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Pass on what comes from the files; raise InputError if one of them cannot be read."""
        try:
            yield from batches
        except (*FILE_ERRORS, UnicodeDecodeError) as error:  # the latter where TensorFlow repeats the damaged bytes
            reason, folder = str(getattr(error, "message", error)).partition("\n")[0], Path(self.files[0]).parent
            raise InputError(
                f"a record file of {folder} is damaged or not of {self.image_size} pixels ({reason}); build it again"
            ) from error


Split = StoredSplit | MemorySplit


def open_splits(dataset: Path, image_size: int | None = None, framing: Framing | None = None) -> dict[str, StoredSplit]:
    """Open a dataset that `pneumo_tfds` built.

    Args:
        dataset: its folder, `.../pneumo_tfds/gray_224/1.1.0`.
        image_size: the side that its images must have, pixels; None accepts any.
        framing: how its images must have been made square; None accepts any.

    Raises:
        InputError: there is no such dataset, or it is another one, or of another version, size or framing.
    """
    import tensorflow_datasets as tfds

    if not (dataset / "dataset_info.json").exists():
        raise InputError(f"{dataset} holds no built dataset; make one with python -m pneumo_tfds build --source PATH")
    information = read_json(dataset / "dataset_info.json", REBUILD)
    name, version = (information.get(key) if isinstance(information, dict) else None for key in ("name", "version"))
    if name != "pneumo_tfds":
        raise InputError(f"{dataset} holds the dataset {name}, not pneumo_tfds; give a dataset built by pneumo_tfds")
    if version not in READABLE:
        readable = " and ".join(READABLE)
        raise InputError(f"{dataset} is of version {version}, and this program reads {readable}; build it again")
    try:
        builder = tfds.builder_from_directory(str(dataset))
        size = int(builder.info.features["image"].shape[0])
        splits = {
            name: StoredSplit(name, tuple(map(str, split.filepaths)), split.num_examples, size)
            for name, split in builder.info.splits.items()
            if split.num_examples
        }
    except (*JSON_SHAPE_ERRORS, json_format.ParseError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{dataset}: its JSON files cannot be read ({reason:.200}); {REBUILD}") from error
    if image_size not in (None, size):
        raise InputError(f"{dataset} holds images of {size} pixels, not {image_size}; give --image-size {size}")
    if framing is not None:
        check_framing(dataset, framing)
    return splits


def check_framing(dataset: Path, framing: Framing, remedy: str = "") -> None:
    """Raise InputError unless the images of a built dataset were made square with this framing."""
    held = framing_of(dataset)
    if held != framing:
        remedy = remedy or f"give --framing {held}"
        raise InputError(f"{dataset} holds images made with the framing {held}, not {framing}; {remedy}")
