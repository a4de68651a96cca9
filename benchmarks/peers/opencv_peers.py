"""PyTorch's DataLoader and Grain, each with OpenCV, as a careful user would write them, without TensorFlow.

Worker processes import one function for one image: read it grey, resize it, and optionally turn, scale, shear, shift
and flip it in one `warpAffine` and change its contrast and brightness. It does what our augmentation does except gamma,
which makes it slightly cheaper.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.harness import CannotRunError, Work

SEED = 0
ROTATION, SHEAR, ZOOM, SHIFT = math.radians(10.0), math.radians(5.0), math.log(1.2), 0.08
CONTRAST, BRIGHTNESS = math.log(1.3), 0.15 * 255


@dataclass(frozen=True)
class Files:
    """Random access to prepared images, as PyTorch and Grain require it."""

    paths: tuple[str, ...]
    image_size: int
    augmented: bool

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Return image `index` as `[S, S, 1]`: float32 if augmented, else uint8."""
        grey = cv2.imread(self.paths[index], cv2.IMREAD_GRAYSCALE)
        if grey is None:
            raise CannotRunError(f"OpenCV could not read {self.paths[index]}")
        size = self.image_size
        if grey.shape != (size, size):
            smaller = min(grey.shape) >= size
            grey = cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        return (changed(grey, np.random.default_rng()) if self.augmented else np.asarray(grey))[:, :, None]


def changed(grey: NDArray[Any], random: np.random.Generator) -> NDArray[np.float32]:
    """Return one image uint8 `[S, S]` changed at random, as float32 `[S, S]`."""
    size = grey.shape[0]
    angle, shear = random.uniform(-ROTATION, ROTATION), math.tan(random.uniform(-SHEAR, SHEAR))
    scale, mirror = math.exp(random.uniform(-ZOOM, ZOOM)), random.choice((-1.0, 1.0))
    cos, sin, middle = math.cos(angle), math.sin(angle), (size - 1) / 2
    matrix = np.array([[cos * mirror, cos * shear - sin, 0.0], [sin * mirror, sin * shear + cos, 0.0]]) / scale
    matrix[:, 2] = middle - matrix[:, :2] @ (middle, middle) + random.uniform(-SHIFT, SHIFT, 2) * size
    warped = cv2.warpAffine(grey, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    gain, offset = math.exp(random.uniform(-CONTRAST, CONTRAST)), random.uniform(-BRIGHTNESS, BRIGHTNESS)
    lit = cv2.convertScaleAbs(warped, alpha=gain, beta=127.5 * (1 - gain) + offset)
    return np.asarray(lit, np.float32)


def data_loader(files: Files, batch_size: int, workers: int) -> Callable[[], Work]:
    """Return what starts PyTorch's DataLoader with `workers` processes, which are kept from run to run."""

    @cache
    def loader() -> Any:
        from torch.utils.data import DataLoader

        # Spawned: forking a process in which TensorFlow has threads can hang.
        made = DataLoader(
            files, batch_size, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=True,
            multiprocessing_context="spawn", worker_init_fn=_one_thread,
        )  # fmt: skip
        started = iter(made)
        for _ in range(2 * workers):  # until every process has started: their imports are not measured
            next(started)
        return made

    return lambda: (len(batch) for _ in count() for batch in loader())


def grain_loader(files: Files, batch_size: int, workers: int) -> Work:
    """Run Grain's dataset, read by `workers` threads."""
    import grain

    dataset = grain.MapDataset.source(files).shuffle(seed=SEED).repeat().batch(batch_size, drop_remainder=True)
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * workers)
    for batch in dataset.to_iter_dataset(options):
        yield len(batch)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(1)
