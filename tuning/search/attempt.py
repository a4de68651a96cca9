"""One process's attempt at one trial: it keeps the trial's journal and decides when the trial stops."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_tuner.errors import FailedTrialError

from pipeline.run_folder.history import Epoch
from pipeline.training.fit import Fitted
from tuning.search.journal import Journal, Outcome, read_journals
from tuning.search.median_rule import below_median
from tuning.search.search_plan import Plan


class Attempt:
    """A trial from its start, or from the epoch where an earlier attempt was killed, to its end."""

    def __init__(self, plan: Plan, folder: Path, drawn: Mapping[str, Any], deadline: float | None) -> None:
        """Continue the journal in the trial's folder, or begin one with the numbers that KerasTuner drew.

        The trial stops when `time.time()` has passed `deadline`.
        """
        self.plan, self.folder, self.deadline = plan, folder, deadline
        self.journal = Journal.read(folder) or Journal(plan.drawn_values(drawn))
        self.last_epoch = int(drawn.get("tuner/epochs", plan.start.search.trial_epochs))
        if self.journal.outcome == "stopped early":  # and killed before it was scored, which only its last epoch needs
            self.last_epoch = int(self.journal.epochs[-1]["epoch"])
        else:
            self.journal.outcome = "running"
        if "tuner/trial_id" in drawn:
            self.journal.inherited = int(drawn["tuner/initial_epoch"])
        self._began, self._seconds_before = time.monotonic(), self.journal.seconds
        self._save()

    def after_epoch(self, epoch: Epoch) -> bool:
        """Record an epoch; return whether the trial stops after it."""
        del self.journal.epochs[epoch.epoch - 1 :]
        self.journal.epochs.append(asdict(epoch))
        self.journal.outcome = self._outcome()
        self._save()
        return self.journal.outcome != "running"

    def fail(self, reason: str) -> FailedTrialError:
        """Record that the trial failed; return the error that makes KerasTuner take the next one."""
        self.journal.outcome, self.journal.reason = "failed", reason
        self._save()
        return FailedTrialError(reason)

    def finish(self, fitted: Fitted, score: float) -> None:
        """Record the result."""
        self.journal.epochs = [asdict(epoch) for epoch in fitted.history]
        self.journal.score = score
        if self.journal.outcome == "running":
            self.journal.outcome = "finished"
        self._save()

    def _outcome(self) -> Outcome:
        if self.deadline and time.time() > self.deadline:
            return "out of time"
        search, objective = self.plan.start.search, self.plan.objective
        if not search.median_stopping or search.tuner == "hyperband":
            return "running"
        curve = [epoch[objective.curve] for epoch in self.journal.epochs]
        others = list(read_journals(self.folder.parent, other_than=self.folder))
        return "stopped early" if below_median(curve, others, objective) else "running"

    def _save(self) -> None:
        self.journal.seconds = self._seconds_before + time.monotonic() - self._began
        self.journal.write(self.folder)
