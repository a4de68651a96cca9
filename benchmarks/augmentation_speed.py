"""Augmenting a batch that is in memory: our one warp beside Keras, OpenCV and albumentations."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks import image_folders
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.measuring.harness import Case, Contender, Record, Work, measure
from benchmarks.peers import albumentations_peer, keras_peers, opencv_peers
from benchmarks.peers.keras_peers import CHANGES
from pipeline.augmentation import augment, on_device, on_host
from pipeline.config import AugmentConfig
from pneumo_tfds.program.parallel import one_thread_per_opencv_call

SHAPES = ((64, 150), (32, 224))  # images in a batch, side in pixels
SEED = 0
REFERENCE = "peer: Keras's five layers"
Batch = NDArray[np.uint8]


def measure_stage(options: BenchmarkOptions) -> list[Record]:
    """Measure one table for each shape."""
    found = image_folders.small(options.source, options.quick)
    records: list[Record] = []
    for batch, size in SHAPES:
        images, _ = found.decoded(batch, size)
        case = Case("augment", found.name, size, batch, options.workers, "one batch in memory", REFERENCE)
        records += measure(case, _contenders(images, options.workers), options.pace(seconds=0.8, rounds=5))
    return records


def _contenders(images: Batch, workers: int) -> list[Contender]:
    return [
        Contender("ours: one warp, compiled alone by XLA", lambda: _fused(images, True), keep=True),
        Contender("ours: one warp, not compiled", lambda: _fused(images, False), keep=True),
        Contender("ours: the same with sharpness and grain", lambda: _fused(images, True, AugmentConfig()), keep=True),
        Contender("ours: one warp, OpenCV on the host", lambda: _host(images), keep=True),
        Contender("ours: OpenCV, with sharpness and grain", lambda: _host(images, AugmentConfig()), keep=True),
        Contender(REFERENCE, lambda: _layers(images), keep=True),
        Contender("peer: ImageDataGenerator", lambda: _generator(images, workers), keep=True),
        Contender("peer: OpenCV, image by image", lambda: _opencv(images, workers)),
        Contender("peer: albumentations", lambda: _albumentations(images, workers), ("albumentations",)),
    ]


def _fused(images: Batch, compiled: bool, config: AugmentConfig = CHANGES) -> Work:
    pixels, change = tf.constant(images), on_device.compiled(config, images.shape[1], xla=compiled)
    for step in count():
        change(pixels, augment.draw(SEED, step, len(images)))
        _finish()
        yield len(images)


def _host(images: Batch, config: AugmentConfig = CHANGES) -> Work:
    sample, changed = on_host.sampler(config, images.shape[1]), np.empty(images.shape, np.float32)
    with one_thread_per_opencv_call():
        for step in count():
            on_host.apply(images, sample(augment.draw(SEED, step, len(images))), changed)
            yield len(images)


def _layers(images: Batch) -> Work:
    layers, pixels = keras_peers.five_layers(), tf.constant(images)
    # Not compiled: ImageProjectiveTransformV3, which they use, has no XLA kernel.
    changed = tf.function(lambda: layers(tf.cast(pixels, tf.float32), training=True))
    while True:
        changed()
        _finish()
        yield len(images)


def _generator(images: Batch, workers: int) -> Work:
    random, floats = keras_peers.generator(True), images.astype(np.float32)
    return _pooled(lambda row: random.random_transform(floats[row]), len(images), workers)


def _opencv(images: Batch, workers: int) -> Work:
    randoms = [np.random.default_rng([SEED, row]) for row in range(len(images))]
    with one_thread_per_opencv_call():
        yield from _pooled(lambda row: opencv_peers.changed(images[row, :, :, 0], randoms[row]), len(images), workers)


def _albumentations(images: Batch, workers: int) -> Work:
    changes = [albumentations_peer.transformation(CHANGES, row) for row in range(len(images))]
    with one_thread_per_opencv_call():
        yield from _pooled(lambda row: changes[row](images[row]), len(images), workers)


def _pooled(change: Callable[[int], NDArray[Any]], rows: int, workers: int) -> Work:
    """Change rows 0 to `rows` in `workers` threads and stack the result, again and again."""
    parts = [range(start, rows, workers) for start in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        while True:
            done = pool.map(lambda part: [change(row) for row in part], parts)
            np.stack([image for part in done for image in part])
            yield rows


def _finish() -> None:
    """Wait for the device; on a CPU there is nothing to wait for."""
    tf.test.experimental.sync_devices()
