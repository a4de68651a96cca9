"""One process's attempt at one trial: it keeps the trial's journal and decides when the trial stops."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from keras_tuner.errors import FailedTrialError

from pipeline.run_folder.history import Epoch
from tuning.search.journal import Journal, read_journals
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
        if self.journal.stopped_after:  # and killed before it was scored
            self.last_epoch = self.journal.stopped_after
        else:
            self.journal.outcome = "running"
        if "tuner/trial_id" in drawn:
            self.journal.inherited = int(drawn["tuner/initial_epoch"])
        self._began, self._seconds_before = time.monotonic(), self.journal.seconds
        self._save()

    def after_epoch(self, epoch: Epoch, fold: int) -> bool:
        """Record an epoch of the network in a fold, counted from 1; return whether the trial stops after it."""
        del self.journal.epochs[epoch.epoch - 1 :]
        self.journal.epochs.append(asdict(epoch))
        late = bool(self.deadline and time.time() > self.deadline)
        # Folds differ, so only the first, in which all trials begin, tells a trial that is below the others.
        stopped = not late and fold == 1 and epoch.epoch < self.last_epoch and self._below_median()
        if late or stopped:
            self.journal.outcome = "out of time" if late else "stopped early"
        if stopped:
            self.journal.stopped_after = epoch.epoch
        self._save()
        return late or stopped

    def fail(self, reason: str) -> FailedTrialError:
        """Record that the trial failed; return the error that makes KerasTuner take the next one."""
        self.journal.outcome, self.journal.reason = "failed", reason
        self._save()
        return FailedTrialError(reason)

    def finish(self, history: Sequence[Epoch], scores: Sequence[float]) -> float:
        """Record the result; return the objective of the trial, the mean over its folds."""
        self.journal.epochs = [asdict(epoch) for epoch in history]
        self.journal.score, self.journal.scores = fmean(scores), tuple(scores)
        if self.journal.outcome == "running":
            self.journal.outcome = "finished"
        self._save()
        return self.journal.score

    def _below_median(self) -> bool:
        search, objective = self.plan.start.search, self.plan.objective
        if not search.median_stopping or search.tuner == "hyperband":
            return False
        curve = [epoch[objective.curve] for epoch in self.journal.epochs]
        others = list(read_journals(self.folder.parent, other_than=self.folder))
        return below_median(curve, others, objective)

    def _save(self) -> None:
        self.journal.seconds = self._seconds_before + time.monotonic() - self._began
        self.journal.write(self.folder)
