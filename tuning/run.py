"""A whole search, from a run folder to its winner: data, trials, leaderboard, `best.json`."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from pipeline.config import RunConfig, read, to_dict
from pipeline.run import RunFolder
from pipeline.source import with_dataset
from pneumo_tfds.errors import InputError
from pneumo_tfds.files import write_json
from tuning import cluster, journal, leaderboard
from tuning.confirm import Candidate, as_json, confirm, verdict
from tuning.confirm import table as confirm_table
from tuning.folder import Data, SearchFolder, open_data
from tuning.leaderboard import Row
from tuning.objective import parse, scorer
from tuning.oracles import oracle
from tuning.page import write_page
from tuning.plan import Plan, hold_to, write
from tuning.search import Search, Train
from tuning.space import space


def search(settings: RunConfig, run_dir: Path | None, *, resume: bool, console: Console | None = None) -> None:
    """Run or resume the search in a run folder and write its winner to `tuner/best.json`.

    Args:
        settings: what it starts from.
        run_dir: the run folder; None makes one under `runs/`.
        resume: go on if a search was begun there.
        console: where people read.

    Raises:
        InputError: see `docs/tuning.md`; always one line with the way out.
    """
    console = console or Console()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns that every trial is traced anew, as it must be
    # Its length scales end at their bounds while trials are few; that is no news to who searches.
    warnings.filterwarnings("ignore", module="sklearn.gaussian_process")
    space(settings.search.ranges, settings.search.space, settings)  # before minutes are spent on data
    parse(settings.search.objective)
    role = cluster.role()
    if role == "worker":
        if run_dir is None:
            raise InputError("a worker needs --run-dir, the run folder of its chief on a disk that both see")
        return work(run_dir)
    run = RunFolder(run_dir or Path("runs") / f"tuning-{datetime.now():%Y%m%d-%H%M%S}")
    folder = SearchFolder(run.tuner)
    _admit(run, folder, resume)
    with RunFolder(folder.path).locked():
        settings = with_dataset(settings)
        plan = Plan(settings, open_data(settings).identity())
        if folder.plan.exists():
            hold_to(plan, folder.plan)
            _say_resumed(console, plan, folder)
        else:
            _begin(run, folder, plan)
            _say(console, plan)
        try:
            _run_trials(plan, run, folder, console)
            _finish(plan, folder, console)
        except KeyboardInterrupt:
            _print(console, f"Stopped. Go on with: python -m tuning --run-dir {run.path} --resume")
            raise


def work(run_dir: Path) -> None:
    """Be one of the workers of the chief that the environment names, until it has no more trials."""
    cluster.await_chief()
    folder = SearchFolder(RunFolder(run_dir).tuner)
    settings = read(folder.start, RunConfig)
    data = open_data(settings)
    plan = Plan(settings, data.identity())
    hold_to(plan, folder.plan)
    make_search(plan, data, folder).search()


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
    from pipeline.fit import fit

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


def _admit(run: RunFolder, folder: SearchFolder, resume: bool) -> None:
    if not run.config.exists():
        run.start(resume=resume)
    elif folder.plan.exists() and not resume:
        raise InputError(f"{folder.path} already holds a search; go on with --resume, or name another --run-dir")
    else:
        run.read_config()  # says what is wrong with it, if anything is


def _begin(run: RunFolder, folder: SearchFolder, plan: Plan) -> None:
    if not run.config.exists():
        run.write_config(plan.start)
    write_json(folder.start, to_dict(plan.start))
    write(plan, folder.plan)  # last: from here on a search has begun


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


def _run_trials(plan: Plan, run: RunFolder, folder: SearchFolder, console: Console) -> None:
    data = open_data(plan.start)

    def show() -> None:
        found = leaderboard.rows(folder.trials, plan.objective)
        leaderboard.write_csv(found, plan.objective, folder.leaderboard)
        if console.is_terminal:
            console.print(leaderboard.table(found, plan.objective))
        else:
            _print(console, leaderboard.line(found, plan.objective))

    count = min(plan.start.search.workers, plan.start.search.max_trials)
    if count > 1 or cluster.role() == "chief":
        tuner = _with_workers(plan, data, run, folder, count, console)
    else:
        tuner = make_search(plan, data, folder, on_trial=show)
        tuner.search()
    if tuner.oracle.gave_up():
        last = max(leaderboard.rows(folder.trials, plan.objective), key=lambda row: row.trial)
        raise InputError(f"the search stopped: its last trials all failed, the last of them because {last.reason}")


def _with_workers(plan: Plan, data: Data, run: RunFolder, folder: SearchFolder, count: int, console: Console) -> Search:
    import tensorflow as tf

    from tuning.workers import Team, command, serve

    team = None
    if cluster.role() == "alone":
        port = cluster.free_port()
        os.environ.update(cluster.environment("chief", port))
        gpus = len(tf.config.list_physical_devices("GPU"))
        say = partial(_print, console)
        team = Team(command(run.path), count, port, folder.path / "logs", gpus, say)
        _print(console, f"{count} workers; their output is in {folder.path / 'logs'}")
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
                    leaderboard.write_csv(found, plan.objective, folder.leaderboard)
                    if not console.is_terminal:
                        _print(console, leaderboard.line(found, plan.objective, row.trial))

        serve(tuner, team, tick)
    return tuner


def _finish(plan: Plan, folder: SearchFolder, console: Console) -> None:
    found = leaderboard.rows(folder.trials, plan.objective)
    leaderboard.write_csv(found, plan.objective, folder.leaderboard)
    ranked = [row for row in found if row.score is not None]
    if not ranked:
        reason = next((row.reason for row in found if row.reason), "no trial was begun; allow more --minutes")
        raise InputError(f"no trial of the search came to an end: {reason}")
    console.print(leaderboard.table(found, plan.objective))
    confirmed = _confirm(plan, ranked, folder, console)
    best = confirmed[0].values if confirmed else ranked[0].values
    write_page(folder.page, plan, found, confirmed)
    write_json(folder.best, to_dict(plan.winner(best)))  # last: who finds it finds all the rest
    if not confirmed:
        _say_winner(console, plan, ranked)
    _print(console, f"The search as a page: {folder.page}")
    _print(console, f"The winner's settings: {folder.best}; python -m pipeline.train --config {folder.best} trains it")


def _confirm(plan: Plan, ranked: list[Row], folder: SearchFolder, console: Console) -> list[Candidate]:
    if not plan.start.search.confirm:
        return []
    from pipeline.fit import fit

    data = open_data(plan.start)
    train = partial(fit, train=data.train, validation=data.validation)
    found = confirm(plan, ranked, folder.confirm, train, scorer(plan.objective, data.validation))
    if found:
        write_json(folder.confirmed, as_json(found, plan.objective))
        console.print(confirm_table(found, plan.objective))
        _print(console, verdict(found, plan.objective))
    return found


def _say(console: Console, plan: Plan) -> None:
    search, images = plan.start.search, plan.data["images"]
    spans = (f"{p.name} {p.low:g} to {p.high:g}" + " or 0" * (p.scale == "log_or_zero") for p in plan.parameters)
    _print(
        console,
        f"Search ({search.tuner}): {search.max_trials} trials of {search.trial_epochs} epochs, "
        f"{plan.objective.name} ({plan.objective.direction}), {images['train']} training and "
        f"{images['validation']} validation images; {', '.join(spans)}",
    )


def _say_resumed(console: Console, plan: Plan, folder: SearchFolder) -> None:
    ended = sum(row.status != "running" for row in leaderboard.rows(folder.trials, plan.objective))
    _print(console, f"Going on with the search in {folder.path}: {ended} trials have ended")


def _say_winner(console: Console, plan: Plan, ranked: list[Row]) -> None:
    best, first = ranked[0], next((row for row in ranked if row.trial == 1), None)
    values = ", ".join(f"{name} {value:.3g}" for name, value in best.values.items())
    beside = f" (starting values: {first.score:.4f})" if first and first is not best else ""
    _print(console, f"Winner: trial {best.trial}, {plan.objective.name} {best.score:.4f}{beside}; {values}")


def _print(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
