"""KerasTuner's own algorithms, mended where a search would be lost, repeated or stalled.

What KerasTuner 1.4.8 does and this corrects, each held by a test:
- it writes its state in place, so that a kill while it writes leaves half a file: here every file is replaced at once;
- a trial that was recorded a moment before a kill, but not yet in the search's state, comes back as one that never
  runs: here it is drawn again; one that had just ended comes back as unfinished: here it stays ended;
- a resumed grid search has forgotten where it was and ends at once; a grid with several workers gives them one
  combination at a time;
- the Bayesian search starts its random numbers over on resume, and draws at random until three trials for each
  parameter are done, which is longer than most searches;
- hyperband ignores a limit on trials;
- a chief waits for ever for a worker that is gone, and with it for its trial: here `lost` gives that trial out again,
  and no worker is sent home while another's trial may yet have to be given out again;
- a worker that goes on after its chief was started again may be given another's trial: here it keeps its own;
- too many failures in a row raise an error that leaves a chief locked: here they end the search.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner import synchronized
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle
from scipy.linalg import solve_triangular
from sklearn.gaussian_process import GaussianProcessRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pneumo_tfds.program.files import write_json
from tuning.search.search_plan import Plan
from tuning.search.space import first_values, hyperparameters

GRID_LEVELS = 3
HYPERBAND_FACTOR = 3  # Li et al. 2018, "Hyperband", 2.6: 3 or 4
# Variance of the noise in the objective, as part of its variance over trials: two seeds of one setting differ, and a
# model that believes every trial to 1e-4 (KerasTuner's default) follows the luck of single runs.
OBSERVATION_NOISE = 1e-2
FAILURES_IN_A_ROW = 5  # then the search ends, for the cause is hardly the trials
NEVER = 10**9  # KerasTuner's own count raises inside the chief with its lock held, and nobody can end the search


def oracle(plan: Plan, spent: Callable[[float], bool] = lambda elapsed: False) -> keras_tuner.Oracle:
    """Make the oracle that `plan` asks for.

    Args:
        plan: what is searched.
        spent: told the seconds the search has taken over all its attempts; when it returns True no trial is begun.
    """
    search, grid = plan.start.search, plan.start.search.tuner == "grid"
    common: dict[str, Any] = {
        "objective": keras_tuner.Objective(plan.objective.name, plan.objective.direction),
        "hyperparameters": hyperparameters(plan.parameters, plan.base, GRID_LEVELS if grid else None),
        "allow_new_entries": False,
        "tune_new_entries": False,
        "seed": plan.start.fit.seed + 1,  # to KerasTuner 0 means none
        "max_consecutive_failed_trials": NEVER,
    }
    made: Any
    if search.tuner == "bayesian":
        dimensions = len(plan.parameters)
        first = max(3, min(2 * dimensions, search.max_trials // 3))
        made = _Bayesian(max_trials=search.max_trials, num_initial_points=first, alpha=OBSERVATION_NOISE, **common)
    elif search.tuner == "hyperband":
        sweeps = search.max_trials  # more than enough; max_trials ends it
        made = _Hyperband(
            max_epochs=search.trial_epochs, factor=HYPERBAND_FACTOR, hyperband_iterations=sweeps, **common
        )
        made.max_trials = search.max_trials
    else:
        made = {"random": _Random, "grid": _Grid}[search.tuner](max_trials=search.max_trials, **common)
    made.spent = spent
    made.first_values = first_values(plan.parameters, plan.base)[: 1 if grid else None]
    made.heard = {}
    made.begun = time.monotonic()
    made.verbose = 0
    return made


class _Mended:
    """What all of them need; stands before KerasTuner's class in the order of inheritance."""

    spent: Callable[[float], bool] = staticmethod(lambda elapsed: False)
    first_values: list[dict[str, float]]
    """What the first trials draw, before the algorithm chooses."""
    heard: dict[str, float]
    """When each worker was last heard of (`time.monotonic()`): it asks for a trial, and asks again while it trains."""
    begun = 0.0
    over = False
    """A worker was sent home."""
    _earlier_seconds = 0.0
    _earlier_owners: Mapping[str, str] = {}

    def elapsed(self: Any) -> float:
        """Give the seconds the search has taken, without the time between a kill and a resume."""
        return float(self._earlier_seconds + time.monotonic() - self.begun)

    def gave_up(self: Any) -> bool:
        """Say whether the last trials all failed."""
        last = self.end_order[-FAILURES_IN_A_ROW:]
        return len(last) == FAILURES_IN_A_ROW and all(self.trials[name].status == "FAILED" for name in last)

    @synchronized
    def create_trial(self: Any, tuner_id: str) -> Any:
        """Give a worker the trial it has, or one that was lost, or a new one."""
        self.heard[tuner_id] = time.monotonic()
        own = self._earlier_owners.get(tuner_id)
        if own in self._retry_queue:  # KerasTuner takes the last
            self._retry_queue.sort(key=lambda name: name == own)
        trial = super().create_trial(tuner_id)  # type: ignore[misc]
        if trial.status == "STOPPED":
            if self.ongoing_trials:  # one of them may be lost yet; then it is for this worker
                self.tuner_ids.add(tuner_id)
                trial.status = "IDLE"
            else:
                self.over = True
        return trial

    @synchronized
    def end_trial(self: Any, trial: Any) -> None:
        """Record an end, once: a worker that was thought lost may report one that another has reported."""
        if trial.trial_id not in self.end_order:
            super().end_trial(trial)  # type: ignore[misc]
            self._retry_queue = [name for name in self._retry_queue if name != trial.trial_id]

    @synchronized
    def lost(self: Any, patience: float) -> list[tuple[str, Any]]:
        """Take their trials from the workers not heard of for `patience` seconds, and give them out again.

        Returns:
            Name of each such worker, with the trial it had or None.
        """
        now = time.monotonic()
        names = {*self.tuner_ids, *self.ongoing_trials}
        gone = sorted(name for name in names if now - self.heard.get(name, self.begun) > patience)
        found = [(name, self.ongoing_trials.pop(name, None)) for name in gone]
        self.tuner_ids.difference_update(gone)
        self._retry_queue += [trial.trial_id for _, trial in found if trial]
        if found:
            self.save()
        return found

    @synchronized
    def complete(self: Any) -> bool:
        """Say whether all trials that were asked for have ended."""
        return bool(len(self.end_order) >= self.max_trials)

    @synchronized
    def deserted(self: Any) -> bool:
        """Say whether the search is over and no worker is left that has not been told."""
        return bool((self.over or self.complete()) and not self.ongoing_trials and not self.tuner_ids)

    def populate_space(self: Any, trial_id: str) -> dict[str, Any]:
        """Choose the values of a trial: those to begin with first, then as KerasTuner does."""
        if self.gave_up() or self.spent(self.elapsed()):
            return {"status": "STOPPED", "values": None}
        response: dict[str, Any] = super().populate_space(trial_id)  # type: ignore[misc]
        begun = len(self.start_order)
        if response["status"] == "RUNNING" and begun < len(self.first_values):
            response["values"].update(self.first_values[begun])
        return response

    def get_state(self: Any) -> dict[str, Any]:
        """Give the state, with the time taken."""
        return {**super().get_state(), "elapsed": self.elapsed()}  # type: ignore[misc]

    def set_state(self: Any, state: dict[str, Any]) -> None:
        """Take up a state."""
        super().set_state(state)  # type: ignore[misc]
        self._earlier_seconds = state["elapsed"]
        self._earlier_owners = state["ongoing_trials"]

    def save(self: Any) -> None:
        """Write the state, at once."""
        write_json(self._get_oracle_fname(), self.get_state())

    def _save_trial(self: Any, trial: Any) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def reload(self: Any) -> None:
        """Read the state; drop what was never begun, and do not repeat what had ended."""
        super().reload()  # type: ignore[misc]
        for trial_id in sorted(set(self.trials) - set(self.start_order)):
            del self.trials[trial_id]
            shutil.rmtree(self._get_trial_dir(trial_id))
        self.trials = {trial_id: self.trials[trial_id] for trial_id in self.start_order}
        ended = {name for name, trial in self.trials.items() if trial.status in ("COMPLETED", "FAILED")}
        self._retry_queue = [name for name in self._retry_queue if name not in ended]
        self.end_order.extend(sorted(ended - set(self.end_order)))


class _QuickRegressor(GaussianProcessRegressor):  # type: ignore[misc]
    """The same model, asked without ceremony: a suggestion asks it some 4,000 times about one point each."""

    def fit(self, X: Any, y: Any) -> Any:
        """Fit, and keep what every prediction needs; KerasTuner's kernel is Matern with nu = 5/2."""
        super().fit(X, y)
        self._inverse = solve_triangular(self.L_, np.eye(len(self.L_)), lower=True)
        return self

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:
        """Give mean and deviation at the rows of `X`; Rasmussen and Williams 2006, algorithm 2.1 and equation 4.17."""
        if not return_std or not hasattr(self, "_inverse"):
            return super().predict(X, return_std=return_std, return_cov=return_cov)
        apart = X[:, None, :] - self.X_train_[None, :, :]
        distance = np.sqrt(5 * (apart * apart).sum(axis=2)) / self.kernel_.length_scale
        cross = (1 + distance + distance * distance / 3) * np.exp(-distance)
        solved = cross @ self._inverse.T
        variance = np.maximum(1 - (solved * solved).sum(axis=1), 0.0)
        mean = self._y_train_std * (cross @ self.alpha_) + self._y_train_mean
        return mean, self._y_train_std * np.sqrt(variance)


class _Bayesian(_Mended, BayesianOptimizationOracle):
    def _make_gpr(self: Any) -> Any:
        return _QuickRegressor(**super()._make_gpr().get_params(deep=False))

    def populate_space(self: Any, trial_id: str) -> dict[str, Any]:
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        # Thousands of linear systems of a few rows each: with a thread a core they wait for each other, 9 ms a step of
        # the optimizer where one thread takes microseconds.
        with threadpool_limits(1):
            return super().populate_space(trial_id)


class _Hyperband(_Mended, HyperbandOracle):
    pass


class _Random(_Mended, RandomSearchOracle):
    pass


class _Grid(_Mended, GridSearchOracle):
    def populate_space(self: Any, trial_id: str) -> dict[str, Any]:
        response = super().populate_space(trial_id)
        if response["status"] == "RUNNING" and trial_id not in self._populate_next:
            self._populate_next.append(trial_id)  # the next combination is known now, before this one ends
        return response

    def reload(self: Any) -> None:
        super().reload()
        for earlier, trial_id in zip([None, *self.start_order], self.start_order, strict=False):
            if earlier is None:
                self._ordered_ids.insert(trial_id)
            else:
                self._ordered_ids.insert(trial_id, earlier)
        self._populate_next = self.start_order[-1:]
