"""One process's part of a search: take a trial from the oracle, train it, report its score, take the next.

The oracle is in this process, or at a chief that KerasTuner's environment variables name. This class works with both.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import tensorflow as tf
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FatalError
from keras_tuner.src import config as kerastuner_config
from keras_tuner.src.distribute import oracle_client

from pipeline.run_folder.checkpoint import FILE as STATE
from pipeline.run_folder.history import Epoch
from pipeline.training.fit import DivergedError
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import replacing, write_json
from tuning.search import kerastuner_roles
from tuning.search.attempt import Attempt
from tuning.search.heartbeat import heartbeat
from tuning.search.journal import REMEDY, Journal
from tuning.search.keras_memory import releasing_memory
from tuning.search.oracles import ResumableOracle
from tuning.search.search_plan import Plan
from tuning.search.trial_folds import Fold, train_in_folds

TRIALS = "trials"
CHECKPOINT = "checkpoint"
IDLE_SECONDS = 0.2  # between two requests of a worker while there is no trial for it; KerasTuner does not pause


class TrialReassignedError(Exception):
    """The chief did not hear from this worker for too long and gave its trial to another."""


class SearchTuner(BaseTuner):
    """KerasTuner's loop over trials, in which a trial is trained by `train_in_folds`."""

    def __init__(
        self,
        plan: Plan,
        oracle: ResumableOracle,
        folder: Path,
        folds: Sequence[Fold],
        on_trial: Callable[[], None],
    ) -> None:
        """Create the tuner; if `folder`, the run's `tuner` folder, holds a search, resume it.

        `on_trial` is called whenever a trial has ended in this process.
        """
        self.plan, self.folds, self._on_trial = plan, folds, on_trial
        self.deadline: Callable[[], float | None] = lambda: None
        """Returns the `time.time()` at which a trial that begins now stops."""
        self.reassigned: Callable[[], bool] = lambda: False
        """Whether the trial in training was given to another worker."""
        self._idle = self._abandoned = False
        with contextlib.redirect_stdout(io.StringIO()):  # it prints "Reloading Tuner from"; the command says it better
            super().__init__(oracle=oracle, directory=str(folder), project_name=TRIALS)
        self.save()  # otherwise a search that is killed in its first trial could not be resumed

    def save(self) -> None:
        """Replace the files of the search's state."""
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
            raise InputError(f"{self.project_dir} holds no state that can be read ({reason}); {REMEDY}") from error

    def search(self) -> None:
        """Run trials until the oracle has no more.

        Raises:
            InputError: the settings fit no trial, or the chief stopped answering.
        """
        worker, patience = self._is_worker(), kerastuner_roles.patience(kerastuner_roles.CHIEF_PATIENCE)
        try:
            # KerasTuner prints the traceback of every failed trial. The leaderboard has its last line and trial.json
            # the rest; only a worker's is nowhere but in its log. And it waits an hour for a chief that is silent.
            with _changed(kerastuner_config, "DEBUG", worker), _changed(oracle_client, "TIMEOUT", patience):
                super().search()
        except FatalError as error:
            raise InputError(str(error)) from error
        except grpc.RpcError as error:
            raise kerastuner_roles.chief_unreachable() from error

    def pre_create_trial(self) -> None:
        """Wait a moment before asking again."""
        if self._idle:
            time.sleep(IDLE_SECONDS)
        self._idle = True

    def on_trial_begin(self, trial: Any) -> None:
        """Note that there is a trial to work on."""
        self._idle = self._abandoned = False

    def _try_run_and_update_trial(self, trial: Any) -> None:
        with releasing_memory(), contextlib.ExitStack() as stack:
            if self._is_worker():
                beat = heartbeat(self.oracle.create_trial, self.tuner_id, trial.trial_id)
                self.reassigned = stack.enter_context(beat)
            super()._try_run_and_update_trial(trial)

    def _run_and_update_trial(self, trial: Any) -> None:
        try:
            super()._run_and_update_trial(trial)
        except (InputError, OSError) as error:  # settings that fit no trial, or a full disk: not this trial's fault
            raise FatalError(str(error)) from error

    def run_trial(self, trial: Any) -> dict[str, float]:
        """Train one trial; return its objective.

        Raises:
            FailedTrialError: its loss is not finite any more. KerasTuner records it and takes the next trial.
            InputError: no trial of this search can be trained, or none can be written.
        """
        drawn = trial.hyperparameters.values
        folder = Path(self.get_trial_dir(trial.trial_id))
        attempt = Attempt(self.plan, folder, drawn, self.deadline())
        if "tuner/trial_id" in drawn:
            _copy_checkpoint(Path(self.get_trial_dir(drawn["tuner/trial_id"])), folder)

        def on_epoch(epoch: Epoch, fold: int) -> bool:
            if self.reassigned():
                raise TrialReassignedError
            return attempt.after_epoch(epoch, fold)

        config = self.plan.trial(drawn)
        description = f"Trial {int(trial.trial_id) + 1}/{self.plan.start.search.max_trials}"
        try:
            result = train_in_folds(self.folds, config, folder / CHECKPOINT, attempt.last_epoch, on_epoch, description)
        except DivergedError as error:
            raise attempt.fail(reason_of(error)) from error
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            raise attempt.fail("out of memory; lower --batch-size or --image-size") from error
        except TrialReassignedError:
            self._abandoned = True  # nothing is written: the journal is the other worker's now
            raise
        return {self.plan.objective.name: attempt.finish(*result)}

    def on_trial_end(self, trial: Any) -> None:
        """Report the end, and remove what only an interrupted trial would need."""
        if self._abandoned:
            return
        super().on_trial_end(trial)
        folder = Path(self.get_trial_dir(trial.trial_id))
        if trial.status != "COMPLETED" and (journal := Journal.read(folder)) and not journal.reason:
            # An unexpected error. KerasTuner keeps it in the trial, but a worker's does not reach its chief.
            journal.outcome, journal.reason = "failed", (trial.message or "unknown").strip().splitlines()[-1]
            journal.write(folder)
        if self.plan.start.search.tuner != "hyperband":  # there a later trial may continue from it
            shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
        self._on_trial()

    def _get_tuner_fname(self) -> str:
        # KerasTuner names the file after the process, so a search begun without workers is not found with them.
        return str(Path(self.project_dir) / "tuner.json")


def _copy_checkpoint(earlier: Path, folder: Path) -> None:
    """Let the trial in `folder` continue from the checkpoint of an earlier one (hyperband)."""
    source, target = earlier / CHECKPOINT / STATE, folder / CHECKPOINT / STATE
    if source.exists() and not target.exists():
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)


@contextlib.contextmanager
def _changed(module: Any, name: str, value: Any) -> Iterator[None]:
    """Change a variable of a module for the duration of the block."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
