"""A worker's heartbeat: while it trains, it asks the chief every few seconds for its trial.

KerasTuner's chief answers a repeated request with the trial that the worker already has. Our chief also notes when each
worker asked last (`tuning.search.oracles`). A worker that was suspended for so long that its trial went to another
worker learns this from the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]

from tuning.search import kerastuner_roles


@contextmanager
def heartbeat(ask: Callable[[str], Any], worker: str, trial: str) -> Iterator[Callable[[], bool]]:
    """Send heartbeats from a thread; yield a function that returns whether the trial went to another worker.

    `ask` is the chief's `create_trial`, which takes the worker's name and returns the worker's trial.
    """
    reassigned, stopped = threading.Event(), threading.Event()

    def beat() -> None:
        while not (stopped.wait(kerastuner_roles.heartbeat_seconds()) or reassigned.is_set()):
            try:
                if ask(worker).trial_id != trial:
                    reassigned.set()
            except grpc.RpcError:
                continue  # the chief may be restarting; if it is gone, reporting the end of the trial fails

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield reassigned.is_set
    finally:
        stopped.set()
        thread.join()  # a request still under way would otherwise be answered with the worker's next trial
