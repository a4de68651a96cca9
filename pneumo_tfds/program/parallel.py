"""Map a function over many images in threads, in order and within bounded memory.

Threads and not processes: OpenCV, zlib, hashlib and file reads release Python's global lock while they work, and
threads share results without copying them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import cv2

from pneumo_tfds.program.cores_and_memory import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

ITEMS_AHEAD = 16
"""Items in flight per worker, so that a worker never waits while the consumer writes a shard."""

_lock = threading.Lock()
_users = 0
_threads_before = 0


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in the order of the items.

    At most `workers` x `ITEMS_AHEAD` results wait to be consumed. An exception of a call is raised here when
    its item is due. The results do not depend on `workers`.

    Args:
        function: called from several threads.
        items: consumed in the caller's thread, a little ahead of the results.
        workers: threads; None for one per available core, 0 to work in the caller's thread.
    """
    workers = available_cores() if workers is None else workers
    if workers == 0:
        yield from map(function, items)
        return
    remaining = iter(items)
    with one_thread_per_opencv_call(), ThreadPoolExecutor(workers, "pneumo_tfds") as pool:
        pending = deque(pool.submit(function, item) for item in islice(remaining, workers * ITEMS_AHEAD))
        try:
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(remaining, 1))
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def one_thread_per_opencv_call() -> Iterator[None]:
    """Keep OpenCV from starting threads of its own while at least one such block is open."""
    global _users, _threads_before
    with _lock:
        if _users == 0:
            _threads_before = cv2.getNumThreads()
            cv2.setNumThreads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                cv2.setNumThreads(_threads_before)
