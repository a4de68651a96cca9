"""A search while it runs: its trials, in this process or by workers, shown and written down as they end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console
from rich.live import Live

from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from tuning.results import leaderboard
from tuning.results.leaderboard import Row
from tuning.search import journal, kerastuner_roles
from tuning.search.objective import scorer
from tuning.search.oracles import oracle
from tuning.search.search_folder import Data, SearchFolder
from tuning.search.search_plan import Plan
from tuning.search.tuner import Search, Train


def run_trials(plan: Plan, data: Data, run: RunFolder, folder: SearchFolder, console: Console) -> None:
    """Run what is left of a search, in this process or by workers, and show every trial that ends.

    Raises:
        InputError: no trial can be trained, the last ones all failed, or the workers cannot work.
    """

    def show() -> None:
        found = recorded(plan, folder)
        if console.is_terminal:
            console.print(leaderboard.table(found, plan.objective))
        else:
            tell(console, leaderboard.line(found, plan.objective))

    count = min(plan.start.search.workers, plan.start.search.max_trials)
    if kerastuner_roles.role() == "chief" and make_search(plan, data, folder).oracle.complete():
        return  # resumed to be confirmed, or killed at its end: no worker may be left to say so
    if count > 1 or kerastuner_roles.role() == "chief":
        tuner = _with_workers(plan, data, run, folder, count, console)
    else:
        tuner = make_search(plan, data, folder, on_trial=show)
        tuner.search()
    if tuner.oracle.gave_up():
        last = max(leaderboard.rows(folder.trials, plan.objective), key=lambda row: row.trial)
        raise InputError(f"the search stopped: its last trials all failed, the last of them because {last.reason}")


def _with_workers(plan: Plan, data: Data, run: RunFolder, folder: SearchFolder, count: int, console: Console) -> Search:
    import tensorflow as tf

    from tuning.local_workers import Team, command, serve

    team, own = None, {}
    if kerastuner_roles.role() == "alone":
        port = kerastuner_roles.free_port()
        own = kerastuner_roles.environment("chief", port)
        os.environ.update(own)
        gpus = len(tf.config.list_physical_devices("GPU"))
        team = Team(command(run.path), count, port, folder.path / "logs", gpus)
        tell(console, f"{count} workers; their output is in {folder.path / 'logs'}")
    tuner = make_search(plan, data, folder)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        ended: set[int] = set()

        def tick() -> None:
            found = leaderboard.rows(folder.trials, plan.objective)
            if console.is_terminal:
                live.update(leaderboard.table(found, plan.objective), refresh=True)
            for row in sorted(found, key=lambda row: row.trial):
                if row.status != "running" and row.trial not in ended:
                    ended.add(row.trial)
                    recorded(plan, folder)
                    if not console.is_terminal:
                        tell(console, leaderboard.line(found, plan.objective, row.trial))

        serve(tuner, team, tick, partial(tell, console))
    for name in own:  # what follows is no chief's work
        del os.environ[name]
    return tuner


def recorded(plan: Plan, folder: SearchFolder) -> list[Row]:
    """Give the leaderboard as it is now, written down for machines and for TensorBoard."""
    from tuning.results.tensorboard_log import write_hparams

    found = leaderboard.rows(folder.trials, plan.objective)
    leaderboard.write_csv(found, plan.objective, folder.leaderboard)
    write_hparams(folder.tensorboard, folder.trials, plan, found)
    return found


def make_search(
    plan: Plan,
    data: Data,
    folder: SearchFolder,
    *,
    train: Train | None = None,
    score: Callable[[Any, Any], float] | None = None,
    on_trial: Callable[[], None] = lambda: None,
) -> Search:
    """Make this process's `Search`; both splits are read when its first trial needs them, once for all trials."""
    from pipeline.training.fit import fit

    made = oracle(plan, _spending(plan, folder))
    minutes = plan.start.search.minutes
    tuner = Search(
        plan,
        made,
        folder.path,
        train or partial(fit, train=data.train, validation=data.validation),
        score or scorer(plan.objective, data.validation),
        on_trial=on_trial,
    )
    if minutes:
        tuner.deadline = time.time() + minutes * 60 - made.elapsed()
    return tuner


def _spending(plan: Plan, folder: SearchFolder) -> Callable[[float], bool]:
    search = plan.start.search

    def spent(elapsed: float) -> bool:
        if search.minutes and elapsed >= search.minutes * 60:
            return True
        accounts = journal.others(folder.trials / "trial_none")
        return bool(search.epoch_budget) and search.epoch_budget <= sum(
            len(account.epochs) - account.inherited for account in accounts
        )

    return spent


def tell(console: Console, text: str) -> None:
    """Print a line as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
