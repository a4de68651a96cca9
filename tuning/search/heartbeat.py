"""A worker's sign of life: while it trains, it asks the chief every few seconds which trial it has.

To KerasTuner's chief that is the question for the next trial, which it answers with the one the worker has; ours notes
when each worker asked last (`tuning.search.oracles`). A worker that is stopped for so long that its trial was given to
another learns it from the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]

from tuning.search import kerastuner_roles


class Heartbeat:
    """Asks in a thread of its own, as long as it is entered."""

    def __init__(self, ask: Callable[[str], Any], worker: str, trial: str) -> None:
        """Do not ask yet.

        Args:
            ask: the chief's `create_trial`; called with the worker's name, it gives the worker's trial.
            worker: its name.
            trial: id of the trial it trains.
        """
        self._ask, self._worker, self._trial = ask, worker, trial
        self._lost, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def lost(self) -> bool:
        """Say whether the trial is another's now."""
        return self._lost.is_set()

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()  # an answer under way would otherwise be the worker's next trial

    def _beat(self) -> None:
        while not self._stopped.wait(kerastuner_roles.heartbeat_seconds()):
            try:
                if self._ask(self._worker).trial_id != self._trial:
                    self._lost.set()
                    return
            except grpc.RpcError:
                continue  # the chief may be started again; reporting the trial's end will tell
