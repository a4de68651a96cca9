"""A whole search, from a run folder to its winner: data, trials, leaderboard, `best.json`."""

from __future__ import annotations

import logging
import warnings
from datetime import datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from pipeline.config import RunConfig
from pipeline.config.config_json import read, to_dict
from pipeline.data.dataset import with_dataset
from pipeline.devices.tf_config import read_cluster
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json
from tuning.results import leaderboard
from tuning.results.confirm import Candidate, as_json, confirm, count, verdict
from tuning.results.confirm import table as confirm_table
from tuning.results.leaderboard import Row
from tuning.results.search_page import write_page
from tuning.search import kerastuner_roles
from tuning.search.objective import parse, scorer
from tuning.search.search_folder import SearchFolder, open_data
from tuning.search.search_plan import Plan, hold_to, write
from tuning.search.space import space
from tuning.trials import make_search, recorded, run_trials, tell


def search(settings: RunConfig, run_dir: Path | None, *, resume: bool, console: Console | None = None) -> None:
    """Run or resume the search in a run folder and write its winner to `tuner/best.json`.

    Args:
        settings: what it starts from.
        run_dir: the run folder; None makes one under `runs/`.
        resume: go on if a search was begun there.
        console: where people read.

    Raises:
        InputError: see `docs/how-to/tune.md`; always one line with the way out.
    """
    console = console or Console()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns that every trial is traced anew, as it must be
    # Its length scales end at their bounds while trials are few; that is no news to who searches.
    warnings.filterwarnings("ignore", module="sklearn.gaussian_process")
    if read_cluster().workers > 1:
        raise InputError("TF_CONFIG names several workers, and a search is one machine's: unset it, and see --workers")
    space(settings.search.ranges, settings.search.space, settings)  # before minutes are spent on data
    parse(settings.search.objective)
    role = kerastuner_roles.role()
    if role == "worker":
        return work(run_dir)
    run = RunFolder(run_dir or Path("runs") / f"tuning-{datetime.now():%Y%m%d-%H%M%S}")
    folder = SearchFolder(run.tuner)
    _admit(run, folder, resume=resume, again=role == "chief")
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
            run_trials(plan, open_data(plan.start), run, folder, console)
            _finish(plan, folder, console)
        except KeyboardInterrupt:
            tell(console, f"Stopped. Go on with: python -m tuning --run-dir {run.path} --resume")
            raise


def work(run_dir: Path | None) -> None:
    """Be one of the workers of the chief that the environment names, until it has no more trials.

    Raises:
        InputError: no run folder, no chief, or another search than the chief's.
    """
    if run_dir is None:
        raise InputError("a worker needs --run-dir, the run folder of its chief on a disk that both see")
    kerastuner_roles.await_chief()
    folder = SearchFolder(RunFolder(run_dir).tuner)
    settings = read(folder.start, RunConfig)
    data = open_data(settings)
    plan = Plan(settings, data.identity())
    hold_to(plan, folder.plan)
    make_search(plan, data, folder).search()


def _admit(run: RunFolder, folder: SearchFolder, *, resume: bool, again: bool) -> None:
    """Check that the run folder may be searched in; `again`: whoever started us does so until the search is done."""
    if not run.config.exists():
        if not _killed_before_it_began(run, folder):
            run.start(resume=resume)
    elif folder.plan.exists() and not (resume or again):
        raise InputError(f"{folder.path} already holds a search; go on with --resume, or name another --run-dir")
    else:
        run.read_config()  # says what is wrong with it, if anything is


def _killed_before_it_began(run: RunFolder, folder: SearchFolder) -> bool:
    """Say whether a search was killed here while its dataset was built: then there is only its locked folder."""
    entries = [entry for entry in (run.path, folder.path) if entry.exists() for entry in entry.iterdir()]
    return (folder.path / ".lock").exists() and all(
        entry == folder.path or entry.name.startswith(".") for entry in entries
    )


def _begin(run: RunFolder, folder: SearchFolder, plan: Plan) -> None:
    if not run.config.exists():
        run.write_config(plan.start)
    write_json(folder.start, to_dict(plan.start))
    write(plan, folder.plan)  # last: from here on a search has begun


def _finish(plan: Plan, folder: SearchFolder, console: Console) -> None:
    found = recorded(plan, folder)
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
    tell(console, f"The search as a page: {folder.page}")
    tell(console, f"The winner's settings: {folder.best}; python -m pipeline.train --config {folder.best} trains it")


def _confirm(plan: Plan, ranked: list[Row], folder: SearchFolder, console: Console) -> list[Candidate]:
    if not count(plan):
        return []
    from pipeline.training.fit import fit

    data = open_data(plan.start)
    train = partial(fit, train=data.train, validation=data.validation)
    judge, say = scorer(plan.objective, data.validation), partial(tell, console)
    found = confirm(plan, ranked, folder.confirm, train, judge, say)
    if found:
        write_json(folder.confirmed, as_json(found, plan.objective))
        console.print(confirm_table(found, plan.objective))
        tell(console, verdict(found, plan.objective))
    return found


def _say(console: Console, plan: Plan) -> None:
    search, images = plan.start.search, plan.data["images"]
    spans = (f"{p.name} {p.low:g} to {p.high:g}" + " or 0" * (p.scale == "log_or_zero") for p in plan.parameters)
    tell(
        console,
        f"Search ({search.tuner}): {search.max_trials} trials of {search.trial_epochs} epochs, "
        f"{plan.objective.name} ({plan.objective.direction}), {images['train']} training and "
        f"{images['validation']} validation images; {', '.join(spans)}",
    )


def _say_resumed(console: Console, plan: Plan, folder: SearchFolder) -> None:
    ended = sum(row.status != "running" for row in leaderboard.rows(folder.trials, plan.objective))
    tell(console, f"Going on with the search in {folder.path}: {ended} trials have ended")


def _say_winner(console: Console, plan: Plan, ranked: list[Row]) -> None:
    best, first = ranked[0], next((row for row in ranked if row.trial == 1), None)
    values = ", ".join(f"{name} {value:.3g}" for name, value in best.values.items())
    beside = f" (starting values: {first.score:.4f})" if first and first is not best else ""
    tell(console, f"Winner: trial {best.trial}, {plan.objective.name} {best.score:.4f}{beside}; {values}")
