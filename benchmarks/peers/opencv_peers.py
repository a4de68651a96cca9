"""PyTorch's DataLoader, Grain, SPDL and WebDataset with OpenCV, as a careful user would write them, without TensorFlow.

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
from pneumo_tfds.program.parallel import one_thread_per_opencv_call

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
        return self.prepared(cv2.imread(self.paths[index], cv2.IMREAD_GRAYSCALE), self.paths[index])

    def from_tar(self, sample: dict[str, Any]) -> NDArray[Any]:
        """Return the same for a sample of WebDataset."""
        data = np.frombuffer(sample["jpeg"], np.uint8)
        return self.prepared(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), sample["__url__"])

    def prepared(self, grey: NDArray[Any] | None, name: str) -> NDArray[Any]:
        """Resize what OpenCV read from the file `name`, and change it if asked."""
        if grey is None:
            raise CannotRunError(f"OpenCV could not read {name}")
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
    return _processes(lambda: files, workers, batch_size=batch_size, shuffle=True, drop_last=True)


def web_dataset(files: Files, batch_size: int, workers: int, tars: Callable[[], list[str]]) -> Callable[[], Work]:
    """Return what starts WebDataset on tar files, in `workers` processes of PyTorch's DataLoader."""

    def dataset() -> Any:
        from webdataset import WebDataset

        samples = WebDataset(tars(), resampled=True, shardshuffle=False).shuffle(1000, initial=100)
        return samples.map(files.from_tar).batched(batch_size, partial=False, collation_fn=np.stack)

    return _processes(dataset, workers, batch_size=None)


def _processes(dataset: Callable[[], Any], workers: int, **settings: Any) -> Callable[[], Work]:
    @cache
    def loader() -> Any:
        from torch.utils.data import DataLoader

        # Spawned: forking a process in which TensorFlow has threads can hang.
        made = DataLoader(
            dataset(), num_workers=workers, persistent_workers=True, multiprocessing_context="spawn",
            worker_init_fn=_one_thread, **settings,
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
    with one_thread_per_opencv_call():
        for batch in dataset.to_iter_dataset(options):
            yield len(batch)


def spdl_pipeline(files: Files, batch_size: int, workers: int) -> Work:
    """Run SPDL's pipeline with `workers` threads. Its own decoder needs FFmpeg's libraries, which it does not bring."""
    from spdl.pipeline import PipelineBuilder

    def read(rows: NDArray[np.int64]) -> NDArray[Any]:
        return np.stack([files[int(row)] for row in rows])

    random = np.random.default_rng(SEED)
    batches = (random.integers(len(files), size=batch_size) for _ in count())
    # A whole batch in one thread: image by image, its event loop takes longer than the decoder.
    built = PipelineBuilder().add_source(batches).pipe(read, concurrency=workers, max_failures=0).add_sink(2)
    pipeline = built.build(num_threads=workers)
    with one_thread_per_opencv_call(), pipeline.auto_stop():
        for batch in pipeline:
            yield len(batch)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(1)
