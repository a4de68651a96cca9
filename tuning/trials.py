"""The trials of a search: run in this process or by workers, shown and recorded as they end."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import tensorflow as tf
from rich.console import Console
from rich.live import Live

from pipeline.run_folder.folder import RunFolder
from pipeline.tracking.tracking import Tracking
from pneumo_tfds.program.errors import InputError
from tuning import local_workers
from tuning.local_workers import LocalWorkers
from tuning.results import leaderboard
from tuning.results.confirm import seconds_to_confirm
from tuning.results.leaderboard import TrialRow
from tuning.results.search_records import trial_record
from tuning.search import kerastuner_roles
from tuning.search.journal import read_journals
from tuning.search.oracles import make_oracle
from tuning.search.search_folder import SearchData, SearchFolder
from tuning.search.search_plan import Plan
from tuning.search.trial_folds import Fold
from tuning.search.tuner import SearchTuner


def run_trials(
    plan: Plan, data: SearchData, run: RunFolder, folder: SearchFolder, console: Console, tracking: Tracking
) -> float:
    """Run the remaining trials of a search, in this process or by workers, and show every trial that ends.

    Returns:
        The `time.time()` at which `--minutes` end.

    Raises:
        InputError: no trial can be trained, the last ones all failed, or the workers cannot work.
    """
    printer = TrialPrinter(plan, folder, console, tracking)
    count = min(plan.start.search.workers, plan.start.search.max_trials)
    if kerastuner_roles.role() == "chief":
        tuner = make_tuner(plan, data, folder)
        if tuner.oracle.complete():
            # Resumed to confirm its winner, or killed at its end: there may be no worker left to dismiss.
            return end_of_minutes(plan, tuner.oracle.elapsed())
        _serve(tuner, None, printer)
    elif count > 1:
        port, gpus = kerastuner_roles.free_port(), len(tf.config.list_physical_devices("GPU"))
        command = [sys.executable, "-m", "tuning.worker", "--run-dir", str(run.path)]
        console.out(f"{count} workers; their output is in {folder.logs}", highlight=False)
        with kerastuner_roles.as_chief(port):
            tuner = make_tuner(plan, data, folder)
            _serve(tuner, LocalWorkers(command, count, port, folder.logs, gpus), printer)
    else:
        tuner = make_tuner(plan, data, folder, on_trial=printer.show)
        tuner.search()
    if tuner.oracle.failed_in_a_row():
        last = max(leaderboard.rows(folder.trials, plan.objective), key=lambda row: row.trial)
        raise InputError(f"the search stopped because its last trials all failed; the last reason: {last.reason}")
    if tuner.oracle.exhausted:
        tried = f"The search ended after {len(tuner.oracle.trials)} of {plan.start.search.max_trials} trials"
        console.out(f"{tried}: it found no values in its ranges that were not tried", highlight=False)
    return end_of_minutes(plan, tuner.oracle.elapsed())


def _serve(tuner: SearchTuner, workers: LocalWorkers | None, printer: TrialPrinter) -> None:
    with Live(console=printer.console, auto_refresh=False, transient=True) as printer.live:
        local_workers.serve(tuner, workers, partial(printer.console.out, highlight=False), printer.show)


class TrialPrinter:
    """Shows the trials that have ended: one line each in a log, the leaderboard in a terminal."""

    def __init__(self, plan: Plan, folder: SearchFolder, console: Console, tracking: Tracking) -> None:
        self.plan, self.folder, self.console, self.tracking = plan, folder, console, tracking
        self.live: Live | None = None
        """Where a terminal's leaderboard is redrawn while workers train; without it, it is printed for each trial."""
        self._shown = {row.trial for row in leaderboard.rows(folder.trials, plan.objective) if row.ended}

    def show(self) -> None:
        """Show and record the trials that have ended since the last call."""
        objective, terminal = self.plan.objective, self.console.is_terminal
        rows = leaderboard.rows(self.folder.trials, objective)
        if terminal and self.live:
            self.live.update(leaderboard.terminal_table(rows, objective), refresh=True)
        for trial in sorted({row.trial for row in rows if row.ended} - self._shown):
            self._shown.add(trial)
            record_trials(self.plan, self.folder, self.tracking)
            if not terminal:
                self.console.out(leaderboard.line(rows, objective, trial), highlight=False)
            elif not self.live:
                self.console.print(leaderboard.terminal_table(rows, objective))


def record_trials(plan: Plan, folder: SearchFolder, tracking: Tracking, *, last: bool = False) -> list[TrialRow]:
    """Write `leaderboard.csv` and tell the trackers of ended trials; return the rows of the leaderboard, best first."""
    rows = leaderboard.rows(folder.trials, plan.objective)
    leaderboard.write_csv(rows, plan.objective, folder.leaderboard)
    for row in sorted((row for row in rows if row.ended), key=lambda row: row.trial):
        tracking.tell(trial_record(row, plan.objective), last=last)
    return rows


def make_tuner(
    plan: Plan,
    data: SearchData,
    folder: SearchFolder,
    *,
    folds: Sequence[Fold] | None = None,
    on_trial: Callable[[], None] = lambda: None,
) -> SearchTuner:
    """Return this process's tuner; the images are read once, at the latest when its first trial needs them."""
    oracle = make_oracle(plan, partial(_budget_spent, plan, folder))
    tuner = SearchTuner(plan, oracle, folder.path, folds or data.folds(plan.objective), on_trial)
    if plan.start.search.minutes:
        elapsed = oracle.elapsed_at_chief if kerastuner_roles.role() == "worker" else oracle.elapsed
        tuner.deadline = lambda: end_of_minutes(plan, elapsed()) - seconds_to_confirm(plan, folder.trials)
    return tuner


def end_of_minutes(plan: Plan, elapsed: float) -> float:
    """Return the `time.time()` at which `--minutes` end for a search that has taken so many seconds; inf for never."""
    minutes = plan.start.search.minutes
    return time.time() + minutes * 60 - elapsed if minutes else math.inf


def _budget_spent(plan: Plan, folder: SearchFolder, elapsed: float) -> bool:
    """Return whether `--minutes` or `--epoch-budget` is used up, so that no further trial may begin."""
    search = plan.start.search
    if search.minutes and elapsed >= search.minutes * 60 - seconds_to_confirm(plan, folder.trials):
        return True
    if not search.epoch_budget:
        return False
    return search.epoch_budget <= sum(len(one.epochs) - one.inherited for one in read_journals(folder.trials))
