"""From image files to batches without a built dataset: every image is read, decoded and augmented again each epoch.

For sources that are used once, or do not fit on the disk a second time. A built dataset is faster from the first
epoch on (docs/speed.md). Threads decode: OpenCV lets go of Python's lock. An image is decoded at the
JPEG's own smaller scale and goes through one warp that does scaling and geometry together.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.augmentation import augment, on_host
from pipeline.config import AugmentConfig
from pneumo_tfds.decode import decode_full, resize
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inventory import LABELS, Image, Source

AHEAD = 3  # batches that may be under way at once; more only takes memory
CHUNK = 16  # images a thread takes at once, so that handing over costs little
SHARPEST = 1.5  # times the output side up to which the warp alone may shrink: two samples still cover that step

Batch = tuple[NDArray[Any], NDArray[np.int64]]


def training_batches(
    source: Source,
    images: Sequence[Image],
    image_size: int,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    changes: AugmentConfig | None = None,
    threads: int = 0,
) -> Iterator[Batch]:
    """One epoch of (images, labels int64 `[batch_size]`), shuffled by (seed, epoch), without the incomplete last batch.

    Args:
        source: what reads the files.
        images: which of its images.
        image_size: side S of the squares that come out, pixels.
        batch_size: images in a batch.
        seed: of the order and the augmentation.
        epoch: counted from 1; decides the order, and which random numbers a batch gets.
        changes: how to augment. None gives what a built dataset holds, byte for byte.
        threads: that decode; 0 is one a core.

    Yields:
        Images as float32 `[batch_size, S, S, 1]` from 0 to 255 if augmented, else uint8.

    Raises:
        InputError: less than one batch of images, or one that cannot be read or decoded.
    """
    steps = len(images) // batch_size
    if not steps:
        raise InputError(f"--batch-size is {batch_size}, but there are {len(images)} images; choose a smaller one")
    order = np.random.default_rng([seed, epoch]).permutation(len(images))[: steps * batch_size].reshape(steps, -1)
    changing = changes is not None and changes.augment
    sample = on_host.sampler(changes, image_size) if changes is not None and changing else None

    def begin(pool: ThreadPoolExecutor, step: int) -> tuple[Batch, list[Future[None]]]:
        rows = [images[number] for number in order[step]]
        shape = (batch_size, image_size, image_size, 1)
        pixels: NDArray[Any] = np.empty(shape, np.float32 if sample else np.uint8)
        labels = np.array([LABELS.index(row.label) for row in rows], np.int64)
        if sample:
            drawn = sample(augment.draw(seed, (epoch - 1) * steps + step, batch_size))
            work = _augmenting(source, rows, pixels, drawn)
        else:
            work = _decoding(source, rows, pixels)
        return (pixels, labels), [pool.submit(work, start) for start in range(0, batch_size, CHUNK)]

    inner = cv2.getNumThreads()
    cv2.setNumThreads(1)  # each of our threads is one of the `threads`
    pool = ThreadPoolExecutor(threads or os.cpu_count() or 1)
    try:
        under_way = deque(begin(pool, step) for step in range(min(AHEAD, steps)))
        for step in range(steps):
            batch, parts = under_way.popleft()
            for part in parts:
                part.result()
            if step + AHEAD < steps:
                under_way.append(begin(pool, step + AHEAD))
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(inner)


def _decoding(source: Source, rows: Sequence[Image], pixels: NDArray[Any]) -> Callable[[int], None]:
    size = pixels.shape[1]

    def work(start: int) -> None:
        for row in range(start, min(start + CHUNK, len(rows))):
            name = rows[row].name
            pixels[row] = resize(decode_full(source.read(rows[row]), name, cover=size), size)

    return work


def _augmenting(
    source: Source, rows: Sequence[Image], pixels: NDArray[Any], changes: augment.Changes
) -> Callable[[int], None]:
    size = pixels.shape[1]
    apply = on_host.changer(changes, size)

    def work(start: int) -> None:
        for row in range(start, min(start + CHUNK, len(rows))):
            grey: NDArray[Any] = decode_full(source.read(rows[row]), rows[row].name, cover=size)
            if max(grey.shape) > SHARPEST * size:
                grey = resize(grey, size)[:, :, 0]
            apply(row, grey, pixels[row])

    return work
