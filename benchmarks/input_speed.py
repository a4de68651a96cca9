"""From files to batches: our records beside other libraries, and the limits of the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from benchmarks import image_folders
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.image_folders import JpegFolder
from benchmarks.measuring.harness import Case, Contender, Record, Work, measure
from benchmarks.measuring.machine import write_bandwidth
from benchmarks.peers import dali_peer, keras_peers, opencv_peers
from benchmarks.peers.keras_peers import CHANGES
from pipeline.augmentation import augment, on_device, on_host
from pipeline.config import Switch
from pipeline.data import aligned_arrays
from pipeline.data.batches import training_batches
from pipeline.data.split import StoredSplit, open_splits
from pipeline.data.tf_dataset import training_dataset
from pneumo_tfds.decode import decode
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.parallel import one_thread_per_opencv_call

BATCH = 64
# Large JPEGs are read so slowly that batches already read when a run starts would matter: small batches, long runs.
LARGE_BATCH, LARGE_SECONDS = 16, 3.0
PLAIN_SIZE, STUDY_SIZE = 224, 150
SEED = 0
LIMIT_PIECE = 0.05  # seconds between two looks at the clock while a limit is measured


def measure_stage(options: BenchmarkOptions) -> list[Record]:
    """Measure the four tables: small and large JPEGs, each without and with augmentation; --quick leaves one out."""
    threads_before = cv2.getNumThreads()
    cv2.setNumThreads(options.workers)
    small, large = image_folders.small(options.source, options.quick), image_folders.large(options.quick)
    try:
        return [
            *measure_table(small, PLAIN_SIZE, False, options, built=True),
            *measure_table(small, STUDY_SIZE, True, options, built=True),
            *([] if options.quick else measure_table(large, STUDY_SIZE, False, options, built=False)),
            *measure_table(large, STUDY_SIZE, True, options, built=False),
        ]
    finally:
        cv2.setNumThreads(threads_before)


def measure_table(
    found: JpegFolder, size: int, augmented: bool, options: BenchmarkOptions, *, built: bool
) -> list[Record]:
    """Measure one table. `built` includes our records; those of few images would come from the processor's cache."""
    workers, batch = options.workers, BATCH if built else LARGE_BATCH
    case = Case("input", found.name, size, batch, workers, "augmented" if augmented else "not augmented")
    files = opencv_peers.Files(tuple(found.paths), size, augmented)
    asked = (size, batch, workers, augmented)
    contenders = [
        *_limits(found, size, workers),
        *(_records(found, size, augmented) if built else ()),
        Contender("peer: ImageDataGenerator", partial(keras_peers.image_data_generator, found.train, *asked)),
        Contender("peer: image_dataset_from_directory", partial(keras_peers.image_dataset, found.train, *asked)),
        Contender("peer: PyTorch DataLoader, OpenCV", opencv_peers.data_loader(files, batch, workers), ("torch",)),
        Contender("peer: Grain, OpenCV", partial(opencv_peers.grain_loader, files, batch, workers), ("grain",)),
        Contender("peer: SPDL, OpenCV", partial(opencv_peers.spdl_pipeline, files, batch, workers), ("spdl.pipeline",)),
        Contender(
            "peer: WebDataset, OpenCV",
            opencv_peers.web_dataset(files, batch, workers, partial(image_folders.tars, found, workers)),
            ("webdataset", "torch"),
        ),
        Contender("peer: DALI on the CPU", partial(dali_peer.run, found.paths, *asked), ("nvidia.dali",), "dali", True),
    ]
    pace = options.pace(seconds=1.0, rounds=5) if built else options.pace(seconds=LARGE_SECONDS, rounds=3)
    return measure(case, contenders, pace)


def _limits(found: JpegFolder, size: int, workers: int) -> list[Contender]:
    """Return two limits: the memory bandwidth, and the decoder alone on bytes in memory."""

    def memory() -> Work:
        rate = write_bandwidth() / size**2
        while True:
            time.sleep(LIMIT_PIECE)
            yield round(rate * LIMIT_PIECE)

    def decoder() -> Work:
        files = [Path(path).read_bytes() for path in found.paths[: 4 * BATCH]]
        parts = [files[start::workers] for start in range(workers)]
        with one_thread_per_opencv_call(), ThreadPoolExecutor(workers) as pool:
            while True:
                list(pool.map(lambda part: [decode(data, size) for data in part], parts))
                yield len(files)

    return [Contender("limit: memory bandwidth", memory), Contender("limit: decoding alone", decoder)]


def _records(found: JpegFolder, size: int, augmented: bool) -> list[Contender]:
    def opened() -> StoredSplit:
        train = open_splits(image_folders.dataset(found, size))["train"]
        if train.count < 2 * BATCH:
            raise InputError(f"--source has {train.count} training images; at least {2 * BATCH} are needed to measure")
        return train

    kept = lru_cache(opened)

    def ours(cache: Switch) -> Work:
        for epoch in count(1):
            yield from _batches(kept(), epoch, augmented, cache)

    @lru_cache(maxsize=2)
    def tf_dataset(cache: Switch) -> tf.data.Dataset:
        folder, changed = image_folders.dataset(found, size), CHANGES if augmented else None
        return training_dataset(folder, batch_size=BATCH, seed=SEED, cache=cache, augmentation=changed)

    def piped(cache: Switch) -> Work:
        for _, labels in tf_dataset(cache).repeat():
            yield len(labels)

    def first() -> Work:
        """Begin every epoch at the files: read all records into memory, then all batches."""
        split = opened()
        for epoch in count(1):
            yield sum(_batches(replace(split), epoch, augmented))  # nothing of the copy is in memory yet

    return [
        Contender("ours: records, cached in memory", partial(ours, "on")),
        Contender("ours: tf.data, cached in memory", partial(piped, "on")),
        Contender("ours: records, first epoch", first),
        Contender("ours: records, streamed", partial(ours, "off")),
        Contender("ours: tf.data, streamed", partial(piped, "off")),
    ]


def _batches(split: StoredSplit, epoch: int, augmented: bool, cache: Switch = "on") -> Iterator[int]:
    """Yield the size of each batch of an epoch, augmented as in training if asked to: by OpenCV on a CPU."""
    size, gpu = split.image_size, tf.config.list_physical_devices("GPU")
    for step, (images, labels) in enumerate(training_batches(split, BATCH, seed=SEED, epoch=epoch, cache=cache)):
        if augmented:
            uniform = augment.draw(SEED, epoch * 10_000 + step, BATCH)
            if gpu:
                on_device.compiled(CHANGES, size)(images, uniform).numpy()
            else:
                changed = aligned_arrays.empty(images.shape, np.float32)
                on_host.apply(images.numpy(), on_host.sampler(CHANGES, size)(uniform), changed)
        yield len(labels)
