"""KerasTuner's search algorithms, corrected so that a search is never lost, repeated or stalled.

The faults of KerasTuner 1.4.8 that are worked around here. The code refers to them by number; each has a test.

 1. It writes its state in place, so a kill during a write leaves half a file. Here every file is replaced at once.
 2. A trial recorded just before a kill, but not yet in the search's state, comes back and never runs. Here it is drawn
    again.
 3. A trial that ended just before a kill comes back as unfinished. Here it stays ended.
 4. A resumed grid search does not know its position and ends at once. Here it continues.
 5. A grid gives several workers one combination at a time. Here each worker gets the next combination.
 6. The Bayesian search restarts its random numbers on resume, and draws at random until it has three trials for each
    parameter, which is more than most searches have.
 7. Hyperband ignores `max_trials`.
 8. A chief waits forever for the trial of a worker that is gone. Here the trial is given to another worker, and no
    worker is dismissed while the trial of another may still have to be given out again.
 9. A worker that continues after its chief was restarted may get another worker's trial. Here it keeps its own.
10. Too many failures in a row raise an error inside the chief with its lock held. Here they end the search.
11. It compares what it draws before that is rounded, and the Bayesian search does not compare at all, so a trial could
    repeat an earlier one. Here what would repeat one is drawn again, at random, and a search that finds nothing new
    ends.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner import synchronized
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, read_json, write_json
from tuning.search.journal import REMEDY
from tuning.search.search_plan import Plan
from tuning.search.space import Parameter, first_values, hyperparameters

HYPERBAND_FACTOR = 3  # Li et al. 2018, "Hyperband", 2.6: 3 or 4
# Variance of the noise in the objective, as part of its variance over trials: two seeds of one setting differ, and a
# model that believes every trial to 1e-4 (KerasTuner's default) follows the luck of single runs.
OBSERVATION_NOISE = 1e-2
FAILURES_IN_A_ROW = 5  # after which the search ends, because the trials are unlikely to be the cause
DRAWS = 500  # of values that were tried before the search counts as complete; KerasTuner gives up after 20
UNLIMITED = 10**9


def make_oracle(plan: Plan, budget_spent: Callable[[float], bool]) -> ResumableOracle:
    """Return the oracle that `plan` asks for.

    It begins no trial once `budget_spent` returns True of the seconds that the search has taken.
    """
    search, grid = plan.start.search, plan.start.search.tuner == "grid"
    settings: dict[str, Any] = {
        "first_values": first_values(plan.parameters, plan.base, plan.warm)[: 1 if grid else None],
        "parameters": plan.parameters,
        "budget_spent": budget_spent,
        "objective": keras_tuner.Objective(plan.objective.name, plan.objective.direction),
        "hyperparameters": hyperparameters(plan.parameters, plan.base, grid=grid),
        "seed": plan.start.fit.seed + 1,  # KerasTuner replaces 0 by a random seed
    }
    if search.tuner == "bayesian":
        initial = max(3, min(2 * len(plan.parameters), search.max_trials // 3))  # fault 6
        settings |= {"num_initial_points": initial, "alpha": OBSERVATION_NOISE}
        return ResumableBayesian(max_trials=search.max_trials, **settings)
    if search.tuner == "hyperband":
        oracle = ResumableHyperband(
            max_epochs=search.trial_epochs,
            factor=HYPERBAND_FACTOR,
            hyperband_iterations=search.max_trials,  # more than enough: max_trials ends the search
            **settings,
        )
        oracle.max_trials = search.max_trials  # fault 7
        return oracle
    return (ResumableGrid if grid else ResumableRandom)(max_trials=search.max_trials, **settings)


class ResumableOracle(keras_tuner.Oracle):
    """The corrections that all algorithms share; inherit from this class before KerasTuner's."""

    trials: dict[str, Any]
    _retry_queue: list[str]

    def __init__(
        self,
        *,
        first_values: list[dict[str, float]],
        parameters: Sequence[Parameter],
        budget_spent: Callable[[float], bool],
        **settings: Any,
    ) -> None:
        super().__init__(
            allow_new_entries=False,
            tune_new_entries=False,
            max_consecutive_failed_trials=UNLIMITED,  # fault 10
            **settings,
        )
        self.first_values = first_values  # what the first trials draw, before the algorithm chooses
        self.parameters = parameters
        self._max_collisions = DRAWS
        self.exhausted = False  # becomes True when no values are found that were not tried
        self.budget_spent = budget_spent
        self.last_heard: dict[str, float] = {}
        """`time.monotonic()` of each worker's last request; workers also send heartbeats while they train."""
        self.started = time.monotonic()
        self.seconds_before = 0.0  # that the search had taken before this process resumed it
        self.dismissing = False  # becomes True when a worker is dismissed because there are no more trials
        self.verbose = 0
        self._owners_before: Mapping[str, str] = {}

    def elapsed(self) -> float:
        """Return the seconds that the search has taken, without the time between a kill and a resume."""
        return self.seconds_before + time.monotonic() - self.started

    def elapsed_at_chief(self) -> float:
        """Return what the chief's `elapsed` returns now, for a worker, whose own oracle is never resumed.

        Raises:
            InputError: the file of the chief's state cannot be read.
        """
        state = read_json(path := self._get_oracle_fname(), REMEDY)
        try:
            return float(state["elapsed"] + time.time() - state["saved_at"])
        except JSON_SHAPE_ERRORS as error:
            raise InputError(f"{path} is not the state of a search ({error!r}); {REMEDY}") from error

    def failed_in_a_row(self) -> bool:
        """Return whether the last `FAILURES_IN_A_ROW` trials all failed."""
        last = self.end_order[-FAILURES_IN_A_ROW:]
        return len(last) == FAILURES_IN_A_ROW and all(self.trials[name].status == "FAILED" for name in last)

    @synchronized
    def create_trial(self, tuner_id: str) -> Any:
        """Return the trial that a worker has, or one that was reclaimed, or a new one."""
        self.last_heard[tuner_id] = time.monotonic()
        own = self._owners_before.get(tuner_id)
        if own in self._retry_queue:  # fault 9: KerasTuner takes the last one
            self._retry_queue.sort(key=lambda name: name == own)
        trial = super().create_trial(tuner_id)
        if trial.status == "STOPPED":
            if self.ongoing_trials:  # fault 8: one of them may still be reclaimed, for this worker
                self.tuner_ids.add(tuner_id)
                trial.status = "IDLE"
            else:
                self.dismissing = True
        return trial

    @synchronized
    def end_trial(self, trial: Any) -> None:
        """Record the end of a trial once, even if the worker that it was reclaimed from reports it too."""
        if trial.trial_id not in self.end_order:
            super().end_trial(trial)
            self._retry_queue = [name for name in self._retry_queue if name != trial.trial_id]

    @synchronized
    def reclaim(self, patience: float) -> list[tuple[str, Any]]:
        """Take back the trials of workers not heard from for `patience` seconds, for others to continue (fault 8).

        Returns:
            The name of each such worker, with the trial it had or None.
        """
        now = time.monotonic()
        names = {*self.tuner_ids, *self.ongoing_trials}
        silent = sorted(name for name in names if now - self.last_heard.get(name, self.started) > patience)
        reclaimed = [(name, self.ongoing_trials.pop(name, None)) for name in silent]
        self.tuner_ids.difference_update(silent)
        self._retry_queue += [trial.trial_id for _, trial in reclaimed if trial]
        if reclaimed:
            self.save()
        return reclaimed

    @synchronized
    def complete(self) -> bool:
        """Return whether all trials that were asked for have ended."""
        return bool(len(self.end_order) >= self.max_trials)

    @synchronized
    def all_dismissed(self) -> bool:
        """Return whether the search is over and every worker was dismissed."""
        return bool((self.dismissing or self.complete()) and not self.ongoing_trials and not self.tuner_ids)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values of a new trial: `first_values` first, then what KerasTuner's algorithm chooses."""
        if self.failed_in_a_row() or self.budget_spent(self.elapsed()):
            return {"status": "STOPPED", "values": None}
        response: dict[str, Any] = super().populate_space(trial_id)
        begun = len(self.start_order)
        if response["status"] == "RUNNING":
            first = self.first_values[begun] if begun < len(self.first_values) else {}
            response["values"] = self._canonical(response["values"] | first)
        self.exhausted = response["status"] == "STOPPED"
        return response

    def _canonical(self, values: dict[str, Any]) -> dict[str, Any]:
        return values | {one.name: one.canonical(values[one.name]) for one in self.parameters if one.name in values}

    def _compute_values_hash(self, values: dict[str, Any]) -> str:
        """Return the hash by which values count as tried (fault 11)."""
        return str(super()._compute_values_hash(self._canonical(values)))

    def get_state(self) -> dict[str, Any]:
        """Return the state, with the time taken, and the `time.time()` at which that was read."""
        return {**super().get_state(), "elapsed": self.elapsed(), "saved_at": time.time()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state returned by `get_state`."""
        super().set_state(state)
        self.seconds_before = state["elapsed"]
        self._owners_before = state["ongoing_trials"]

    def save(self) -> None:
        """Replace the file of the state (fault 1)."""
        write_json(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial: Any) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def reload(self) -> None:
        """Read the state, without trials that never began (fault 2); trials that ended stay ended (fault 3)."""
        super().reload()
        for trial_id in sorted(set(self.trials) - set(self.start_order)):
            del self.trials[trial_id]
            shutil.rmtree(self._get_trial_dir(trial_id))
        self.trials = {trial_id: self.trials[trial_id] for trial_id in self.start_order}
        ended = {name for name, trial in self.trials.items() if trial.status in ("COMPLETED", "FAILED")}
        self._retry_queue = [name for name in self._retry_queue if name not in ended]
        self.end_order.extend(sorted(ended - set(self.end_order)))


class ResumableBayesian(ResumableOracle, BayesianOptimizationOracle):
    """Bayesian optimization whose suggestion depends only on the seed and the trials so far (fault 6)."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values of a new trial."""
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        # Thousands of linear systems of a few rows each: with one thread per core the threads wait for each other,
        # 9 ms for a step of the optimizer that takes one thread microseconds.
        with threadpool_limits(1):
            response = super().populate_space(trial_id)
        if response["status"] == "RUNNING" and self._duplicate(response["values"]):  # fault 11
            values = self._random_values()
            self.exhausted = values is None
            return {"status": "RUNNING" if values else "STOPPED", "values": values and self._canonical(values)}
        return response


class ResumableHyperband(ResumableOracle, HyperbandOracle):
    """Hyperband."""


class ResumableRandom(ResumableOracle, RandomSearchOracle):
    """Random search."""


class ResumableGrid(ResumableOracle, GridSearchOracle):
    """Grid search."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the next combination."""
        response = super().populate_space(trial_id)
        if response["status"] == "RUNNING" and trial_id not in self._populate_next:
            self._populate_next.append(trial_id)  # fault 5: the next combination is known before this trial ends
        return response

    def reload(self) -> None:
        """Read the state, and restore the position in the grid from the order of the trials (fault 4)."""
        super().reload()
        for trial_id in self.start_order:
            self._ordered_ids.insert(trial_id)
        self._populate_next = self.start_order[-1:]
