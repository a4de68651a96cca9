"""Keras's own input pipelines: ImageDataGenerator, which the study used, image_dataset_from_directory, five layers."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from benchmarks.measuring.harness import Work
from pipeline.config import AugmentConfig

SEED = 0
ROTATION, SHIFT, ZOOM, SHEAR = 10.0, 0.08, 0.2, 5.0  # degrees, fraction, fraction, degrees
CHANGES = AugmentConfig(zoom=ZOOM, aspect=0.1, shift=SHIFT, sharpness=0.0, noise=0.0, histogram_swap=0.0)
"""Ours in the same ranges: geometry, and intensities, which only some peers have, without sharpness and grain."""


def five_layers() -> keras.Sequential:
    """Return flip, rotation, zoom, shift and shear as Keras's layers; intensities stay."""
    return keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=SEED),
            keras.layers.RandomRotation(ROTATION / 360, fill_mode="constant", seed=SEED),
            keras.layers.RandomZoom(ZOOM, fill_mode="constant", seed=SEED),
            keras.layers.RandomTranslation(SHIFT, SHIFT, fill_mode="constant", seed=SEED),
            # Given as a fraction of a half turn.
            keras.layers.RandomShear(SHEAR / 180, SHEAR / 180, fill_mode="constant", seed=SEED),
        ],
        name="five_layers",
    )


def generator(augmented: bool) -> Any:
    """Return an ImageDataGenerator with the same ranges."""
    changes = {
        "rotation_range": ROTATION, "width_shift_range": SHIFT, "height_shift_range": SHIFT, "shear_range": SHEAR,
        "zoom_range": ZOOM, "horizontal_flip": True, "fill_mode": "constant",
    }  # fmt: skip
    return tf.keras.preprocessing.image.ImageDataGenerator(rescale=1 / 255, **(changes if augmented else {}))


def flow(folder: Path, image_size: int, batch_size: int, augmented: bool) -> Any:
    """Return the generator's batches from a folder with one folder for each class, as the study made them."""
    with redirect_stdout(StringIO()):  # it prints how many images it found
        return generator(augmented).flow_from_directory(
            str(folder), target_size=(image_size, image_size), color_mode="grayscale", class_mode="binary",
            batch_size=batch_size, seed=SEED,
        )  # fmt: skip


def image_dataset(folder: Path, image_size: int, batch_size: int, workers: int, augmented: bool) -> Work:
    """Run image_dataset_from_directory with `workers` threads, prefetching, the layers mapped."""
    dataset = keras.utils.image_dataset_from_directory(
        folder, labels="inferred", label_mode="int", color_mode="grayscale", batch_size=batch_size,
        image_size=(image_size, image_size), seed=SEED, verbose=False,
    )  # fmt: skip
    if augmented:
        layers = five_layers()
        dataset = dataset.map(lambda images, labels: (layers(images, training=True), labels), tf.data.AUTOTUNE)
    options = tf.data.Options()
    options.threading.private_threadpool_size = workers
    for _, labels in dataset.repeat().prefetch(tf.data.AUTOTUNE).with_options(options):
        yield len(labels)


def image_data_generator(folder: Path, image_size: int, batch_size: int, workers: int, augmented: bool) -> Work:
    """Run ImageDataGenerator with `workers` threads, as `model.fit(..., workers)` runs it."""
    batches = flow(folder, image_size, batch_size, augmented)
    full = batches.n // batch_size

    def work(step: int) -> int:
        return len(batches[step % full][1])

    # Not `ordered_map`: it keeps 16 items a worker in flight, here batches, more than a measurement may find finished.
    with ThreadPoolExecutor(workers) as pool:
        under_way = deque(pool.submit(work, step) for step in range(2 * workers))
        try:
            for step in count(2 * workers):
                done = under_way.popleft().result()
                under_way.append(pool.submit(work, step))
                yield done
        finally:
            for future in under_way:
                future.cancel()
