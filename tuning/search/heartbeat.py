"""A worker's heartbeat: while it trains, it asks the chief every few seconds for its trial.

KerasTuner's chief answers a repeated request with the trial that the worker already has. Our chief also notes when each
worker asked last (`tuning.search.oracles`). A worker that was suspended for so long that its trial went to another
worker learns this from the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]

from tuning.search import kerastuner_roles


class Heartbeat:
    """A context manager that sends heartbeats from a thread of its own."""

    def __init__(self, ask: Callable[[str], Any], worker: str, trial: str) -> None:
        """Create the heartbeat; it starts when it is entered.

        Args:
            ask: the chief's `create_trial`, which takes the worker's name and returns the worker's trial.
            worker: its name.
            trial: id of the trial it trains.
        """
        self._ask, self._worker, self._trial = ask, worker, trial
        self._reassigned, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def reassigned(self) -> bool:
        """Return whether the trial belongs to another worker now."""
        return self._reassigned.is_set()

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()  # a request still under way would otherwise be answered with the worker's next trial

    def _beat(self) -> None:
        while not self._stopped.wait(kerastuner_roles.heartbeat_seconds()):
            try:
                if self._ask(self._worker).trial_id != self._trial:
                    self._reassigned.set()
                    return
            except grpc.RpcError:
                continue  # the chief may be restarting; if it is gone, reporting the end of the trial fails
