"""One process's part of a search: take a trial from the oracle, train it, report its figure, take the next.

The oracle is in this process, or at a chief that KerasTuner's environment variables name; this class does not know.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import keras_tuner
import tensorflow as tf
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FailedTrialError, FatalError

from pipeline.checkpoint import FILE as STATE
from pipeline.config import RunConfig
from pipeline.fit import DivergedError, Epoch, Fitted
from pneumo_tfds.errors import InputError
from pneumo_tfds.files import replacing, write_json
from tuning import journal
from tuning.hopeless import hopeless
from tuning.journal import Journal
from tuning.memory import given_back
from tuning.plan import Plan

TRIALS = "trials"
CHECKPOINT = "checkpoint"


class Train(Protocol):
    """What a search calls to train: `pipeline.fit.fit` with its splits bound, or a stub."""

    def __call__(
        self, config: RunConfig, *, folder: Path, until: int, on_epoch: Callable[[Epoch], bool], description: str
    ) -> Fitted:
        """Train `config` for `until` of its epochs, with its checkpoints in `folder`."""


class Search(BaseTuner):
    """KerasTuner's loop over trials, each of them one `pipeline.fit.fit`."""

    def __init__(
        self,
        plan: Plan,
        oracle: keras_tuner.Oracle,
        folder: Path,
        train: Train,
        score: Callable[[RunConfig, Fitted], float],
        *,
        on_trial: Callable[[], None] = lambda: None,
    ) -> None:
        """Take up the search in `folder`, if it holds one.

        Args:
            plan: what is searched.
            oracle: from `tuning.oracles.oracle`.
            folder: the run's `tuner` folder.
            train: how a trial is trained.
            score: its objective, once trained.
            on_trial: called whenever a trial has ended, here.
        """
        self.plan, self._train, self._score = plan, train, score
        self.deadline: float | None = None
        """`time.time()` at which running trials end."""
        self._on_trial = on_trial
        with contextlib.redirect_stdout(io.StringIO()):  # it says "Reloading Tuner from"; our command says so better
            super().__init__(oracle=oracle, directory=str(folder), project_name=TRIALS)
        self.save()  # else a search killed in its first trial would not be found again

    def save(self) -> None:
        """Write the state of the search, at once."""
        if not self._is_worker():
            self.oracle.save()
        write_json(self._get_tuner_fname(), self.get_state())

    def search(self, *arguments: Any, **keywords: Any) -> None:
        """Run trials until the oracle has no more.

        Raises:
            InputError: the settings fit no trial.
        """
        try:
            super().search(*arguments, **keywords)
        except FatalError as error:
            raise InputError(str(error)) from error

    def _try_run_and_update_trial(self, trial: Any, *arguments: Any, **keywords: Any) -> None:
        with given_back():
            super()._try_run_and_update_trial(trial, *arguments, **keywords)

    def run_trial(self, trial: Any, *arguments: Any, **keywords: Any) -> dict[str, float]:
        """Train one trial; give the objective.

        Raises:
            FailedTrialError: its loss is no number any more. KerasTuner records it and goes on.
            FatalError: no trial of this search can be trained.
        """
        begin = time.monotonic()
        drawn = trial.hyperparameters.values
        folder = self._folder(trial.trial_id)
        account = journal.read(folder) or Journal(self.plan.drawn_values(drawn))
        # A trial that lost its process, or whose process was killed, starts where its last epoch ended.
        earlier, account.outcome = account.seconds, "running"
        target = int(drawn.get("tuner/epochs", self.plan.start.search.trial_epochs))
        if "tuner/trial_id" in drawn:
            account.inherited = int(drawn["tuner/initial_epoch"])
            self._inherit(self._folder(drawn["tuner/trial_id"]), folder)
        account.write(folder)

        def on_epoch(epoch: Epoch) -> bool:
            del account.epochs[epoch.epoch - 1 :]
            account.epochs.append(asdict(epoch))
            account.seconds = earlier + time.monotonic() - begin
            account.training_seconds += epoch.seconds
            account.outcome = self._verdict(folder, account)
            account.write(folder)
            return account.outcome != "running"

        try:
            fitted = self._fitted(trial, target, folder, on_epoch)
            account.score = self._score(self.plan.trial(drawn), fitted)
        except DivergedError as error:
            account.outcome, account.reason = "failed", " ".join(str(error).split())
            account.seconds = earlier + time.monotonic() - begin
            account.write(folder)
            raise FailedTrialError(account.reason) from error
        except tf.errors.ResourceExhaustedError as error:
            account.outcome, account.reason = "failed", "out of memory on the device; lower --batch-size"
            account.write(folder)
            raise FailedTrialError(account.reason) from error
        except InputError as error:
            raise FatalError(str(error)) from error
        account.epochs = [asdict(epoch) for epoch in fitted.history]
        account.seconds = earlier + time.monotonic() - begin
        if account.outcome == "running":
            account.outcome = "finished"
        account.write(folder)
        return {self.plan.objective.name: account.score}

    def on_trial_end(self, trial: Any) -> None:
        """Report the end, and drop what only a killed trial would need."""
        super().on_trial_end(trial)
        folder = self._folder(trial.trial_id)
        if trial.message and (account := journal.read(folder)) and not account.reason:
            # An error nobody foresaw. KerasTuner keeps it in the trial, but a worker's does not reach its chief.
            account.outcome, account.reason = "failed", trial.message.strip().splitlines()[-1]
            account.write(folder)
        if self.plan.start.search.tuner != "hyperband":  # there a later trial may go on from it
            shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
        self._on_trial()

    def _fitted(self, trial: Any, target: int, folder: Path, on_epoch: Callable[[Epoch], bool]) -> Fitted:
        number, total = int(trial.trial_id) + 1, self.plan.start.search.max_trials
        return self._train(
            self.plan.trial(trial.hyperparameters.values),
            folder=folder / CHECKPOINT,
            until=target,
            on_epoch=on_epoch,
            description=f"Trial {number}/{total}, epoch",
        )

    def _get_tuner_fname(self) -> str:
        # KerasTuner names it after the process, so that a search begun without workers is not found again with them.
        return str(Path(self.project_dir) / "tuner.json")

    def _verdict(self, folder: Path, account: Journal) -> journal.Outcome:
        if self.deadline and time.time() > self.deadline:
            return "out of time"
        search, objective = self.plan.start.search, self.plan.objective
        if not search.stop_hopeless or search.tuner == "hyperband" or not objective.by_epoch:
            return "running"
        curve = [epoch[objective.name] for epoch in account.epochs]
        return "hopeless" if hopeless(curve, list(journal.others(folder)), objective) else "running"

    def _inherit(self, earlier: Path, folder: Path) -> None:
        source, target = earlier / CHECKPOINT / STATE, folder / CHECKPOINT / STATE
        if source.exists() and not target.exists():
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)

    def _folder(self, trial_id: str) -> Path:
        return Path(self.project_dir) / f"trial_{trial_id}"
