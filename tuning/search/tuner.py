"""One process's part of a search: take a trial from the oracle, train it, report its figure, take the next.

The oracle is in this process, or at a chief that KerasTuner's environment variables name; this class does not know.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import grpc  # type: ignore[import-untyped]
import keras_tuner
import tensorflow as tf
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FailedTrialError, FatalError
from keras_tuner.src import config as keras_tuner_config

from pipeline.config import RunConfig
from pipeline.run_folder.checkpoint import FILE as STATE
from pipeline.run_folder.history import Epoch
from pipeline.training.fit import DivergedError, Fitted
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replacing, write_json
from tuning.search import journal, kerastuner_roles
from tuning.search.heartbeat import Heartbeat
from tuning.search.journal import Journal
from tuning.search.keras_memory import given_back
from tuning.search.median_rule import hopeless
from tuning.search.search_plan import Plan

TRIALS = "trials"
CHECKPOINT = "checkpoint"
IDLE_SECONDS = 0.2  # a worker for whom there is nothing to do asks again after this; KerasTuner's ask without a pause


class TakenAwayError(Exception):
    """The chief has given this worker's trial to another, having not heard of this one for too long."""


class Train(Protocol):
    """What a search calls to train: `pipeline.training.fit.fit` with its splits bound, or a stub."""

    def __call__(
        self, config: RunConfig, *, folder: Path, until: int, on_epoch: Callable[[Epoch], bool], description: str
    ) -> Fitted:
        """Train `config` for `until` of its epochs, with its checkpoints in `folder`."""


class Search(BaseTuner):
    """KerasTuner's loop over trials, each of them one `pipeline.training.fit.fit`."""

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
            oracle: from `tuning.search.oracles.oracle`.
            folder: the run's `tuner` folder.
            train: how a trial is trained.
            score: its objective, once trained.
            on_trial: called whenever a trial has ended, here.
        """
        self.plan, self._train, self._score = plan, train, score
        self.deadline: float | None = None
        """`time.time()` at which running trials end."""
        self._on_trial = on_trial
        self._idle = self._taken_away = False
        self._lost: Callable[[], bool] = lambda: False
        with contextlib.redirect_stdout(io.StringIO()):  # it says "Reloading Tuner from"; our command says so better
            super().__init__(oracle=oracle, directory=str(folder), project_name=TRIALS)
        # KerasTuner prints the traceback of every failed trial; people find its last line in the leaderboard, the rest
        # in trial.json. A worker's log is the only place for its own.
        keras_tuner_config.DEBUG = self._is_worker()
        if self._is_worker():
            from keras_tuner.src.distribute import oracle_client

            oracle_client.TIMEOUT = kerastuner_roles.patience(kerastuner_roles.CHIEF_PATIENCE)  # an hour otherwise
        self.save()  # else a search killed in its first trial would not be found again

    def save(self) -> None:
        """Write the state of the search, at once."""
        if not self._is_worker():
            self.oracle.save()
        write_json(self._get_tuner_fname(), self.get_state())

    def reload(self) -> None:
        """Read the state of the search.

        Raises:
            InputError: one of its files is damaged.
        """
        try:
            super().reload()
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(
                f"{self.project_dir} holds no state that can be read ({reason}); {journal.REMEDY}"
            ) from error

    def search(self, *arguments: Any, **keywords: Any) -> None:
        """Run trials until the oracle has no more.

        Raises:
            InputError: the settings fit no trial.
        """
        try:
            super().search(*arguments, **keywords)
        except FatalError as error:
            raise InputError(str(error)) from error
        except grpc.RpcError as error:
            raise kerastuner_roles.silence() from error

    def pre_create_trial(self) -> None:
        """Wait a moment before asking again."""
        if self._idle:
            time.sleep(IDLE_SECONDS)
        self._idle = True

    def on_trial_begin(self, trial: Any) -> None:
        """Note that there was something to do."""
        self._idle = self._taken_away = False

    def _try_run_and_update_trial(self, trial: Any, *arguments: Any, **keywords: Any) -> None:
        with given_back(), self._heard_of(trial):
            super()._try_run_and_update_trial(trial, *arguments, **keywords)

    @contextlib.contextmanager
    def _heard_of(self, trial: Any) -> Iterator[None]:
        if not self._is_worker():
            yield
            return
        with Heartbeat(self.oracle.create_trial, self.tuner_id, trial.trial_id) as heartbeat:
            self._lost = heartbeat.lost
            yield

    def _run_and_update_trial(self, trial: Any, *arguments: Any, **keywords: Any) -> None:
        try:
            super()._run_and_update_trial(trial, *arguments, **keywords)
        except (InputError, OSError) as error:  # settings that fit none, or a disk that is full: not this trial's fault
            raise FatalError(str(error)) from error

    def run_trial(self, trial: Any, *arguments: Any, **keywords: Any) -> dict[str, float]:
        """Train one trial; give the objective.

        Raises:
            FailedTrialError: its loss is no number any more. KerasTuner records it and goes on.
            InputError: no trial of this search can be trained, or none be written down.
        """
        begin = time.monotonic()
        drawn = trial.hyperparameters.values
        folder = self._folder(trial.trial_id)
        account = journal.read(folder) or Journal(self.plan.drawn_values(drawn))
        # A trial that lost its process, or whose process was killed, starts where its last epoch ended.
        earlier, target = account.seconds, int(drawn.get("tuner/epochs", self.plan.start.search.trial_epochs))
        if account.outcome == "hopeless":  # killed between this verdict and the score, which is that of its last epoch
            target = int(account.epochs[-1]["epoch"])
        else:
            account.outcome = "running"
        if "tuner/trial_id" in drawn:
            account.inherited = int(drawn["tuner/initial_epoch"])
            self._inherit(self._folder(drawn["tuner/trial_id"]), folder)
        account.write(folder)

        def on_epoch(epoch: Epoch) -> bool:
            if self._lost():
                raise TakenAwayError
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
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            account.outcome, account.reason = "failed", "out of memory; lower --batch-size or --image-size"
            account.write(folder)
            raise FailedTrialError(account.reason) from error
        except TakenAwayError:
            self._taken_away = True  # nothing is written: the journal is another's now
            raise
        account.epochs = [asdict(epoch) for epoch in fitted.history]
        account.seconds = earlier + time.monotonic() - begin
        if account.outcome == "running":
            account.outcome = "finished"
        account.write(folder)
        return {self.plan.objective.name: account.score}

    def on_trial_end(self, trial: Any) -> None:
        """Report the end, and drop what only a killed trial would need."""
        if self._taken_away:
            return
        super().on_trial_end(trial)
        folder = self._folder(trial.trial_id)
        if trial.status != "COMPLETED" and (account := journal.read(folder)) and not account.reason:
            # An error nobody foresaw. KerasTuner keeps it in the trial, but a worker's does not reach its chief.
            account.outcome, account.reason = "failed", (trial.message or "unknown").strip().splitlines()[-1]
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
        if not search.median_stopping or search.tuner == "hyperband":
            return "running"
        curve = [epoch[objective.curve] for epoch in account.epochs]
        return "hopeless" if hopeless(curve, list(journal.others(folder)), objective) else "running"

    def _inherit(self, earlier: Path, folder: Path) -> None:
        source, target = earlier / CHECKPOINT / STATE, folder / CHECKPOINT / STATE
        if source.exists() and not target.exists():
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)

    def _folder(self, trial_id: str) -> Path:
        return Path(self.project_dir) / f"trial_{trial_id}"
