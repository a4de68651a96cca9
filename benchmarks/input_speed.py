"""From files to batches: our records and JPEG reader beside other libraries, and the limits of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import tensorflow as tf

from benchmarks import image_folders
from benchmarks.augment_ranges import CHANGES
from benchmarks.image_folders import Pictures
from benchmarks.measuring.harness import Case, Contender, Record, Work, measure
from benchmarks.measuring.machine import write_bandwidth
from benchmarks.options import Options
from benchmarks.peers import dali_peer, keras_peers, opencv_peers
from pipeline.augmentation import augment
from pipeline.data import image_files
from pipeline.data.batches import training_batches
from pipeline.data.split import StoredSplit, open_splits
from pneumo_tfds.decode import decode
from pneumo_tfds.program.errors import InputError

BATCH = 64
# Large JPEGs come so slowly that what readers hold ready when a run starts would count: small batches, long runs.
LARGE_BATCH, LARGE_SECONDS = 16, 4.0
PLAIN_SIZE, STUDY_SIZE = 224, 150
SEED = 0
LIMIT_PIECE = 0.05  # seconds between two looks at the clock while a limit is measured


def run(options: Options) -> list[Record]:
    """Measure the four tables: small and large JPEGs, each without and with augmentation; --quick leaves one out."""
    cv2.setNumThreads(options.workers)
    small, large = image_folders.small(options.source, options.quick), image_folders.large(options.quick)
    return [
        *_table(small, PLAIN_SIZE, False, options, built=True),
        *_table(small, STUDY_SIZE, True, options, built=True),
        *([] if options.quick else _table(large, STUDY_SIZE, False, options, built=False)),
        *_table(large, STUDY_SIZE, True, options, built=False),
    ]


def _table(found: Pictures, size: int, augmented: bool, options: Options, *, built: bool) -> list[Record]:
    """One table. Records of few images would come from the processor's cache, so `built` says whether to show ours."""
    workers, batch = options.workers, BATCH if built else LARGE_BATCH
    case = Case("input", found.name, size, batch, workers, "augmented" if augmented else "not augmented")
    files = opencv_peers.Files(tuple(found.paths), size, augmented)
    contenders = [
        *(_limits(found, size, workers)),
        *(_records(found, size, augmented) if built else ()),
        Contender("ours: JPEGs read each epoch", _jpegs(found, size, batch, augmented, workers)),
        Contender(
            "peer: ImageDataGenerator",
            keras_peers.image_data_generator(found.train, size, batch, workers, augmented),
        ),
        Contender(
            "peer: image_dataset_from_directory",
            keras_peers.image_dataset(found.train, size, batch, workers, augmented),
        ),
        Contender(
            "peer: PyTorch DataLoader, OpenCV", opencv_peers.data_loader(files, batch, workers), ("torch",), "peers"
        ),
        Contender("peer: Grain, OpenCV", opencv_peers.grain_loader(files, batch, workers), ("grain",), "peers"),
        Contender(
            "peer: DALI on the CPU",
            dali_peer.pipeline(found.paths, size, batch, workers, augmented),
            ("nvidia.dali",), "dali", keep=True,
        ),
    ]  # fmt: skip
    return measure(
        case,
        contenders,
        options.pace(seconds=1.2, rounds=5) if built else options.pace(seconds=LARGE_SECONDS, rounds=3),
    )


def _limits(found: Pictures, size: int, workers: int) -> list[Contender]:
    """Bytes of a batch over what memory takes, and the decoder alone on bytes in memory."""

    def memory() -> Work:
        bandwidth = write_bandwidth()
        return _steady(lambda: bandwidth / size**2)

    def decoder() -> Work:
        files = [Path(path).read_bytes() for path in found.paths[: 4 * BATCH]]
        return _decoded(files, size, workers)

    return [Contender("limit: memory bandwidth", memory), Contender("limit: decoding alone", decoder)]


def _steady(rate: Callable[[], float]) -> Work:
    """Pieces of work that pass by at a rate that was measured already."""
    for _ in count():
        time.sleep(LIMIT_PIECE)
        yield round(rate() * LIMIT_PIECE)


def _decoded(files: list[bytes], size: int, workers: int) -> Work:
    inner = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            for _ in count():
                list(pool.map(lambda part: [decode(data, size) for data in part], _parts(files, workers)))
                yield len(files)
    finally:
        cv2.setNumThreads(inner)


def _parts(files: list[bytes], workers: int) -> list[list[bytes]]:
    return [files[start::workers] for start in range(workers)]


def _records(found: Pictures, size: int, augmented: bool) -> list[Contender]:
    def opened() -> StoredSplit:
        train = open_splits(image_folders.dataset(found, size))["train"]
        if train.count < 2 * BATCH:
            raise InputError(
                f"--source gives {train.count} training images; at least {2 * BATCH} are needed to measure"
            )
        return train

    kept: list[StoredSplit] = []

    def cached() -> Work:
        if not kept:
            kept.append(opened())
        return _epochs(lambda epoch: _batches(kept[0], epoch, augmented))

    def first() -> Work:
        return _first_epochs(opened(), augmented)

    return [
        Contender("ours: records, cached in memory", cached),
        Contender("ours: records, first epoch", first),
    ]


def _first_epochs(split: StoredSplit, augmented: bool) -> Work:
    """Epochs that each begin at the files: read all records into memory, then all batches."""
    for epoch in count(1):
        fresh = replace(split)  # nothing of it is in memory yet
        yield sum(_batches(fresh, epoch, augmented))


def _batches(split: StoredSplit, epoch: int, augmented: bool) -> Iterator[int]:
    size = split.image_size
    for step, (images, labels) in enumerate(training_batches(split, BATCH, seed=SEED, epoch=epoch, cache="on")):
        if augmented:
            _change(size)(images, augment.draw(SEED, epoch * 10_000 + step, BATCH)).numpy()
        yield len(labels)


@lru_cache(maxsize=2)
def _change(size: int) -> Callable[[Any, Any], Any]:
    """What the training step does to its batch, compiled."""

    def change(images: Any, uniform: Any) -> Any:
        return augment.apply(images, augment.sample(uniform, CHANGES, size))

    compiled: Callable[[Any, Any], Any] = tf.function(change, jit_compile=True)
    return compiled


def _jpegs(found: Pictures, size: int, batch: int, augmented: bool, workers: int) -> Callable[[], Work]:
    def prepare() -> Work:
        source = found.source

        def epoch(number: int) -> Iterator[int]:
            batches = image_files.training_batches(
                source, source.images, size, batch,
                seed=SEED, epoch=number, changes=CHANGES if augmented else None, threads=workers,
            )  # fmt: skip
            return (len(labels) for _, labels in batches)

        return _epochs(epoch)

    return prepare


def _epochs(epoch: Callable[[int], Iterator[int]]) -> Work:
    for number in count(1):
        yield from epoch(number)
