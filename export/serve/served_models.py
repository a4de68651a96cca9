"""The models of a service by name, each of which can be exchanged for another file while requests are answered."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export.inference import golden
from export.inference.answer_reference import brightness_of
from export.inference.classifier import Classifier, Prediction
from export.inference.decision import by_threshold
from export.inference.onnx_metadata import ModelFileError
from export.serve.batching import Batcher, BatchLimits
from export.serve.prometheus_metrics import Metrics, ModelMetrics
from pneumo_tfds.decode.reasons import Reasons
from pneumo_tfds.program.errors import InputError

GOLDEN_OF = "model.onnx"
"""The file of a run folder whose answers are in the `golden.npz` beside it."""
VERSION = "1"
"""Version of every model, for protocols that have versions: a name has one file at a time."""

Decoded = tuple[np.ndarray, Reasons]
log = logging.getLogger(__name__)


def models_by_name(places: Sequence[str]) -> dict[str, Path]:
    """Read `FILE.onnx` or `NAME=FILE.onnx`, where the name without one is the file's, less its suffix.

    Raises:
        InputError: none is given, or two have one name.
    """
    found: dict[str, Path] = {}
    for place in places:
        named = re.fullmatch(r"([\w.-]+)=(.+)", place, re.ASCII)
        name, path = (named[1], Path(named[2])) if named and not Path(place).exists() else ("", Path(place))
        name = name or re.sub(r"[^\w.-]", "_", path.stem, flags=re.ASCII)
        if name in found:
            raise InputError(f"{found[name]} and {path} would both be named {name}; name them, as in first={path}")
        found[name] = path
    if not found:
        raise InputError("no model was given; give the .onnx file of a run")
    return found


class Loaded:
    """One file that was loaded: its classifier, and the queue before it. Use as an async context manager.

    Args:
        classifier: the model.
        limits: of its queue and batches.
        decoding: where images are decoded; shared by all models.
        metrics: of the name under which it is served.
    """

    def __init__(self, classifier: Classifier, limits: BatchLimits, decoding: Executor, metrics: ModelMetrics) -> None:
        self.classifier, self.metrics, self._decoding = classifier, metrics, decoding
        self._answering = ThreadPoolExecutor(1, "answer")
        self._undecoded = 0
        self._batcher = Batcher(
            self._predict, limits, self._answering, metrics.batches.observe, lambda: self._undecoded > 0
        )
        self._users, self._unused = 0, asyncio.Event()
        self._unused.set()

    async def __aenter__(self) -> Loaded:
        await self._batcher.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._batcher.__aexit__()
        self._answering.shutdown(wait=False)

    @property
    def waiting(self) -> int:
        """Number of images in the queue."""
        return self._batcher.waiting

    async def answer_file(self, data: bytes, two_way: bool = False, threshold: float | None = None) -> Prediction:
        """Decode an image file and answer it, as `answer_pixels`.

        Raises:
            DecodeError: it cannot be decoded.
            OverloadedError: the queue is full.
        """
        self._undecoded += 1
        try:
            decoded = await asyncio.get_running_loop().run_in_executor(self._decoding, self._decode, data)
        finally:
            self._undecoded -= 1
        return await self.answer_pixels(*decoded, two_way, threshold)

    async def answer_pixels(
        self, pixels: np.ndarray, reasons: Reasons, two_way: bool = False, threshold: float | None = None
    ) -> Prediction:
        """Answer an image, uint8 `[S, S, 1]`, and record the answer; raises OverloadedError.

        With `two_way` or a `threshold` it is decided by that, or by the model's own threshold, alone.
        """
        found = given = await self.ask(pixels, reasons)
        if two_way or threshold is not None:
            threshold = found.threshold if threshold is None else threshold
            decision = by_threshold(self.classifier.metadata.classes, found.probability, threshold)
            given = replace(found, decision=decision, threshold=threshold, heatmap=found.computed_heatmap)
        self.metrics.record(found, brightness_of(pixels[np.newaxis])[0], given.decision)
        return given

    async def ask(self, pixels: np.ndarray, reasons: Reasons) -> Prediction:
        """Answer an image without a record of it; raises OverloadedError."""
        return await self._batcher.submit((pixels, reasons))

    @contextmanager
    def used(self) -> Iterator[Loaded]:
        """Keep it open during the block, also if the model is exchanged meanwhile."""
        self._users += 1
        self._unused.clear()
        try:
            yield self
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def until_unused(self) -> None:
        """Wait until no request uses it any more."""
        await self._unused.wait()

    def _decode(self, data: bytes) -> Decoded:
        doubts: list[str] = []
        pixels = self.classifier.decode(data, "the image", doubts)
        return pixels, self.classifier.reasons(data, pixels, "the image", doubts)

    def _predict(self, images: Sequence[Decoded]) -> list[Prediction]:
        pixels, reasons = zip(*images, strict=True)
        return self.classifier.predict(np.stack(pixels), reasons)


class Models:
    """All models of a service. The first one answers requests that name none.

    Args:
        classifiers: the models by name.
        limits: of each model's queue and batches.
        decoders: images decoded at once.
        metrics: of the service.
        reopen: opens a file again; needed for `exchange` alone.

    Raises:
        ModelFileError: a file has a damaged reference.
    """

    def __init__(
        self,
        classifiers: Mapping[str, Classifier],
        limits: BatchLimits,
        decoders: int,
        metrics: Metrics,
        reopen: Callable[[Path], Classifier] = Classifier,
    ) -> None:
        self.names = tuple(classifiers)
        """Names of the models, the default first."""
        self._first, self._limits, self._decoders, self._metrics = dict(classifiers), limits, decoders, metrics
        self._reopen, self._loaded = reopen, dict[str, Loaded]()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._one_exchange = asyncio.Lock()
        self._tasks = set[asyncio.Task[None]]()
        for name, classifier in classifiers.items():
            self._metrics_of(name, classifier)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hold the models open during the block; once, as no model is kept that was exchanged."""
        self._loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(self._decoders, "decode") as self._decoding:
            for name in self.names:
                self._loaded[name] = await self._load(name, self._first.pop(name))
            try:
                yield
            finally:
                for loaded in self._loaded.values():
                    await loaded.__aexit__()
                self._loop = None
                for task in self._tasks:
                    task.cancel()

    def __getitem__(self, name: str | None) -> Loaded:
        """Return what is loaded under a name now, None for the default; raises KeyError."""
        return self._loaded[self.names[0] if name is None else name]

    def exchange_soon(self) -> None:
        """Start `exchange`; may be called from any thread, and by the handler of a signal."""
        if self._loop is not None:  # it is running
            self._loop.call_soon_threadsafe(self._start, self.exchange)

    async def exchange(self) -> None:
        """Read the file of each model again. Requests that were begun are answered by the old one.

        A file that cannot be opened, or that does not answer as the `golden.npz` beside it says, is not taken.
        """
        async with self._one_exchange:
            for name, old in tuple(self._loaded.items()):
                path = old.classifier.path
                try:
                    new = await self._load(name, await asyncio.to_thread(self._open_checked, path), old)
                except InputError as error:
                    self._metrics.exchanges.labels(name, "refused").inc()
                    log.error("model %s goes on with the old file: %s", name, error)
                    continue
                self._loaded[name] = new
                self._metrics.exchanges.labels(name, "done").inc()
                log.warning("model %s was exchanged for %s", name, path)
                self._start(partial(self._end, old))

    def _open_checked(self, path: Path) -> Classifier:
        found = self._reopen(path)
        beside = path.with_name("golden.npz")
        if path.name == GOLDEN_OF and beside.exists() and (wrong := golden.self_test(found, golden.read(beside))):
            raise ModelFileError(f"{path} does not answer as {beside} says: {wrong[0]}; export the run again")
        return found

    async def _load(self, name: str, classifier: Classifier, old: Loaded | None = None) -> Loaded:
        same = old is not None and old.classifier.content.sha256 == classifier.content.sha256
        metrics = old.metrics if old and same else self._metrics_of(name, classifier)  # the last answers stay its own
        return await Loaded(classifier, self._limits, self._decoding, metrics).__aenter__()

    def _metrics_of(self, name: str, classifier: Classifier) -> ModelMetrics:
        reference, path = classifier.metadata.reference, str(classifier.path)
        return ModelMetrics(self._metrics, name, classifier.answers, reference, path)

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(work())
        self._tasks.add(task)  # the loop alone would let it be collected
        task.add_done_callback(self._tasks.discard)

    async def _end(self, old: Loaded) -> None:
        await old.until_unused()
        await old.__aexit__()
        del old
        await asyncio.sleep(0)  # until now the loop refers to what ended, and by its traceback to the model
        await asyncio.to_thread(_give_memory_back)


def _give_memory_back() -> None:
    """Free the files that were exchanged, and return their memory to the system.

    glibc keeps what one thread freed for that thread: without this, 160 MB became 900 MB in 14 exchanges.
    """
    gc.collect()  # a file and its queue refer to each other
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):  # musl has none
        trim(0)
