"""Batching of concurrent requests: images that arrive together share a call of the model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class OverloadedError(RuntimeError):
    """Raised when the queue is full; the client should try again later."""


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """Sizes and times of batching."""

    largest: int = 16
    """Largest number of items in one call of the model."""
    wait: float = 0.02
    """Most seconds to wait for further items that are on their way when the model is free."""
    queue: int = 256
    """Largest number of waiting items; the next one is refused."""


class Batcher(Generic[Item, Answer]):
    """Collects the items of concurrent requests and answers them together.

    Use as an async context manager; the worker task ends with the block.

    Args:
        answer: called in `executor` with 1 to `limits.largest` items; returns one answer per item, in order. If it
            raises an exception, every request of that batch raises it.
        limits: sizes and times.
        executor: where `answer` runs, so that it does not block the event loop.
        observe: called with the size of each batch.
        coming: returns whether further items are on their way; nothing waits for them otherwise.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Item]], Sequence[Answer]],
        limits: BatchLimits,
        executor: Executor,
        observe: Callable[[int], None] = lambda size: None,
        coming: Callable[[], bool] = lambda: True,
    ) -> None:
        self._answer, self._limits, self._executor, self._observe = answer, limits, executor, observe
        self._coming = coming
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[Answer]]] = asyncio.Queue(limits.queue)
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Batcher[Item, Answer]:
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        while not self._queue.empty():
            self._queue.get_nowait()[1].cancel()

    @property
    def waiting(self) -> int:
        """Number of items that wait for the model now."""
        return self._queue.qsize()

    async def submit(self, item: Item) -> Answer:
        """Answer one item.

        Raises:
            OverloadedError: the queue is full.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((item, future))
        except asyncio.QueueFull as error:
            raise OverloadedError(f"{self._limits.queue} images are waiting already; try again later") from error
        return await future

    async def _work(self) -> None:
        while True:
            batch = await self._next_batch()
            self._observe(len(batch))
            loop = asyncio.get_running_loop()
            try:
                answers = await loop.run_in_executor(self._executor, self._answer, [item for item, _ in batch])
            except asyncio.CancelledError:
                for _, future in batch:
                    future.cancel()
                raise
            except Exception as error:  # noqa: BLE001 (every waiting request must receive it, whatever it is)
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():  # the client may have disconnected
                    future.set_result(answer)

    async def _next_batch(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        """Wait for one item, then for others until none is coming, the batch is full or the time is over."""
        batch = [await self._queue.get()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.wait):
                while len(batch) < self._limits.largest and (self._coming() or not self._queue.empty()):
                    batch.append(await self._queue.get())
        return batch
