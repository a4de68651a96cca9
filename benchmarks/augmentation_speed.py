"""Augmenting a batch that is in memory: our one warp beside Keras's five layers, ImageDataGenerator and OpenCV."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks import image_folders
from benchmarks.augment_ranges import CHANGES, EVERYTHING
from benchmarks.measuring.harness import Case, Contender, Record, Work, measure
from benchmarks.options import Options
from benchmarks.peers import keras_peers, opencv_peers
from pipeline.augmentation import augment, on_host
from pipeline.config import AugmentConfig
from pneumo_tfds.decode import decode

SHAPES = ((64, 150), (32, 224))  # images in a batch, side in pixels
SEED = 0
AGAINST = "peer: Keras's five layers"


def run(options: Options) -> list[Record]:
    """Measure one table for each shape."""
    found = image_folders.small(options.source, options.quick)
    records: list[Record] = []
    for batch, size in SHAPES:
        files = (found.paths * batch)[:: max(1, len(found.paths) // batch)][:batch]
        images = np.stack([decode(_read(path), size, path) for path in files])
        case = Case("augment", found.name, size, batch, options.workers, "one batch in memory", AGAINST)
        records += measure(case, _contenders(images, options.workers), options.pace(seconds=0.8, rounds=5))
    return records


def _contenders(images: NDArray[np.uint8], workers: int) -> list[Contender]:
    return [
        Contender("ours: one warp, compiled alone by XLA", _fused(images, True), keep=True),
        Contender("ours: one warp, not compiled", _fused(images, False), keep=True),
        Contender("ours: the same with sharpness and grain", _fused(images, True, EVERYTHING), keep=True),
        Contender("ours: one warp, OpenCV on the host", _host(images), keep=True),
        Contender("peer: Keras's five layers", _layers(images), keep=True),
        Contender("peer: ImageDataGenerator", _generator(images, workers), keep=True),
        Contender("peer: OpenCV, image by image", _opencv(images, workers)),
    ]


def _fused(
    images: NDArray[np.uint8], compiled: bool, config: AugmentConfig = CHANGES
) -> Callable[[], Callable[[], int]]:
    def prepare() -> Callable[[], int]:
        batch, size = len(images), int(images.shape[1])

        def change(pixels: Any, uniform: Any) -> Any:
            return augment.apply(pixels, augment.sample(uniform, config, size))

        changed = tf.function(change, jit_compile=compiled)
        pixels, steps = tf.constant(images), count()

        def work() -> int:
            changed(pixels, augment.draw(SEED, next(steps), batch))
            _finish()
            return batch

        return work

    return prepare


def _host(images: NDArray[np.uint8]) -> Callable[[], Callable[[], int]]:
    def prepare() -> Callable[[], int]:
        batch, steps = len(images), count()
        sample = on_host.sampler(CHANGES, images.shape[1])

        def work() -> int:
            on_host.apply(images, sample(augment.draw(SEED, next(steps), batch)))
            return batch

        return work

    return prepare


def _layers(images: NDArray[np.uint8]) -> Callable[[], Callable[[], int]]:
    def prepare() -> Callable[[], int]:
        layers, pixels = keras_peers.five_layers(), tf.constant(images)
        # Not compiled: ImageProjectiveTransformV3, on which they rest, has no XLA kernel.
        changed = tf.function(lambda: layers(tf.cast(pixels, tf.float32), training=True))

        def work() -> int:
            changed()
            _finish()
            return len(images)

        return work

    return prepare


def _generator(images: NDArray[np.uint8], workers: int) -> Callable[[], Work]:
    def prepare() -> Work:
        changes = keras_peers.generator(True)
        floats = images.astype(np.float32)
        return _pooled(lambda row: changes.random_transform(floats[row]), len(images), workers)

    return prepare


def _opencv(images: NDArray[np.uint8], workers: int) -> Callable[[], Work]:
    def prepare() -> Work:
        randoms = [np.random.default_rng([SEED, row]) for row in range(len(images))]
        cv2.setNumThreads(1)
        return _pooled(lambda row: opencv_peers.changed(images[row, :, :, 0], randoms[row]), len(images), workers)

    return prepare


def _pooled(change: Callable[[int], NDArray[Any]], rows: int, workers: int) -> Work:
    """Change rows 0 to `rows` by `workers` threads, each taking a run of them, and stack the result."""
    parts = [range(start, rows, workers) for start in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        for _ in count():
            done = pool.map(lambda part: [change(row) for row in part], parts)
            np.stack([image for part in done for image in part])
            yield rows


def _finish() -> None:
    """Wait for the device; on a CPU nothing is left to wait for."""
    tf.test.experimental.sync_devices()


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
