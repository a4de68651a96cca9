"""A whole search, from a run folder to its winner: data, trials, leaderboard, `best.json`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from pipeline.config import RunConfig
from pipeline.config.config_json import read, to_dict
from pipeline.data.dataset import with_dataset
from pipeline.networks.models import check_own
from pipeline.run_folder.folder import RunFolder
from pipeline.tracking.tracking import Tracking
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json
from pneumo_tfds.program.quiet import errors_only
from pneumo_tfds.program.wording import counted, quoted
from tuning.results import confirm, leaderboard
from tuning.results.front import costs
from tuning.results.search_page import write_page
from tuning.results.search_records import search_record
from tuning.search import kerastuner_roles
from tuning.search.search_folder import SearchData, SearchFolder, open_data
from tuning.search.search_plan import Plan
from tuning.search.warm_start import best_values, recorded_warm_start
from tuning.settings_check import check_settings
from tuning.trials import make_tuner, record_trials, run_trials


def run_search(
    settings: RunConfig, run_dir: Path, *, resume: bool, track: Sequence[str] = (), console: Console | None = None
) -> None:
    """Run or resume the search in a run folder and write its winner to `tuner/best.json`.

    Args:
        settings: what the search starts from.
        run_dir: the run folder: new, empty, or with a `config.json`; with a search if it is to be resumed.
        resume: whether a search that was begun there may be resumed.
        track: what else the trials are handed on to, as `--track` has it.
        console: where progress is printed; standard output by default.

    Raises:
        InputError: see `docs/how-to/tune.md`; the message is one line and says what to do.
    """
    console = console or Console()
    check_settings(settings)
    run = RunFolder(run_dir)
    folder = SearchFolder(run)
    _check_folder(run, folder, resume=resume or kerastuner_roles.role() == "chief")
    with quiet_libraries(), RunFolder(folder.path).locked():
        settings = with_dataset(settings)
        data = open_data(settings)
        check_own(settings.model, settings.data.image_size)
        begun = folder.plan.exists()
        plan = Plan(settings, data.identity())
        warm = recorded_warm_start(folder.plan) if begun else best_values(settings.search.warm_start, plan.parameters)
        plan = replace(plan, warm=warm)
        say = partial(console.out, highlight=False)
        tracking = Tracking(run.path, track, "search", resume=begun, warn=say)
        if begun:
            plan.check_same_as(folder.plan)
            ended = sum(row.ended for row in leaderboard.rows(folder.trials, plan.objective))
            console.out(f"Resuming the search in {folder.path}: {ended} trials have ended", highlight=False)
        else:
            write_json(folder.start, to_dict(plan.start))
            plan.write(folder.plan)  # last: a search has begun once this file exists
            _announce(console, plan)
        try:
            tracking.tell(search_record(plan))
            end = run_trials(plan, data, run, folder, console, tracking)
            _finish(plan, data, folder, console, tracking, end)
        except KeyboardInterrupt:
            trackers = " ".join(["", "--track", *track]) if track else ""
            again = f"python -m tuning --run-dir {quoted(run.path)} --resume{trackers}"
            raise KeyboardInterrupt(f"go on with: {again}") from None


def run_worker(run_dir: Path) -> None:
    """Train trials for the chief that the environment names, until there are no more.

    Raises:
        InputError: the chief does not answer, or its search is another one than that in the run folder.
    """
    kerastuner_roles.await_chief()
    folder = SearchFolder(RunFolder(run_dir))
    settings = read(folder.start, RunConfig)
    data = open_data(settings)
    plan = Plan(settings, data.identity(), recorded_warm_start(folder.plan))
    plan.check_same_as(folder.plan)
    with quiet_libraries():
        make_tuner(plan, data, folder).search()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence two warnings that every search causes, for the duration of the block."""
    # TensorFlow warns that every trial is traced anew, which is intended. The length scales of the Bayesian search end
    # at their bounds while there are few trials.
    with errors_only("tensorflow"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="sklearn.gaussian_process")
        yield


def _check_folder(run: RunFolder, folder: SearchFolder, *, resume: bool) -> None:
    """Check that a search may be begun or resumed in the run folder.

    A cluster restarts its chief with the same command line, so a chief may always resume. A search that was killed
    while its dataset was built may be begun again or resumed.

    Raises:
        InputError: it may not; or the folder's config.json is damaged.
    """
    if folder.plan.exists():
        if not resume:
            raise InputError(f"{folder.path} already holds a search; use --resume, or name another --run-dir")
    elif run.config.exists():
        run.read_config()
    elif not _killed_before_it_began(run, folder):
        if resume:
            raise InputError(f"{run.path} holds no search to resume; leave --resume out to begin one")
        run.start(resume=False)


def _killed_before_it_began(run: RunFolder, folder: SearchFolder) -> bool:
    """Return whether a search was killed here before it began: its folder holds at most `start.json`."""
    if not folder.path.is_dir():
        return False
    entries = [entry for place in (run.path, folder.path) for entry in place.glob("[!.]*")]
    return set(entries) <= {folder.path, folder.start}


def _announce(console: Console, plan: Plan) -> None:
    search = plan.start.search
    spans = [f"{p.name} {p.low:g} to {p.high:g}{' or 0' if p.scale == 'log_or_zero' else ''}" for p in plan.parameters]
    console.out(
        f"Search ({search.tuner}): {counted(search.max_trials, 'trial')} of {counted(search.trial_epochs, 'epoch')}, "
        f"{plan.objective.name} ({plan.objective.direction}), {plan.images}; {', '.join(spans)}",
        highlight=False,
    )
    if best := confirm.candidate_count(plan):
        again = min(best + 1, search.max_trials) * search.confirm_seeds
        console.out(
            f"Then up to {counted(again, 'training')} more: the best {best} and the starting values, each from "
            f"{counted(search.confirm_seeds, 'new seed')}; --confirm-top 0 leaves this out",
            highlight=False,
        )
    for said in plan.moved:
        console.out(f"Note: {said}", highlight=False)
    if plan.warm:
        console.out(f"The best {len(plan.warm)} trials of {search.warm_start} are tried first", highlight=False)


def _finish(
    plan: Plan, data: SearchData, folder: SearchFolder, console: Console, tracking: Tracking, end: float
) -> None:
    """Rank the trials, confirm the best until the `time.time()` of `end`, and write the page and the winner."""
    line, objective = partial(console.out, highlight=False), plan.objective
    rows = record_trials(plan, folder, tracking, last=True)
    ranked = [row for row in rows if row.score is not None]
    if not ranked:
        reason = next((row.reason for row in rows if row.reason), "no trial was begun; allow more --minutes")
        raise InputError(f"no trial of the search was trained to its end: {reason}")
    console.print(leaderboard.terminal_table(rows, objective))
    confirmed = confirm.confirm(plan, ranked, folder.confirm, data.folds(objective), line, end)
    if confirmed:
        write_json(folder.confirmed, confirm.as_json(confirmed, objective))
        console.print(confirm.candidates_table(confirmed, objective))
        line(confirm.conclusion(confirmed, objective))
    else:
        best, first = ranked[0], next((row for row in ranked if row.trial == 1), None)
        values = ", ".join(f"{name} {value:.3g}" for name, value in best.values.items())
        beside = f" (starting values: {first.figure})" if first and first is not best else ""
        line(f"Winner: trial {best.trial}, {objective.name} {best.figure}{beside}; {values}")
    write_page(folder.page, plan, rows, confirmed, costs(plan, rows))
    winner = plan.winner(confirmed[0].values if confirmed else ranked[0].values)
    write_json(folder.best, to_dict(winner))  # last: when it exists, everything else does
    tracking.tell(search_record(plan, ranked[0], confirmed), last=True)
    line(f"The search as a page: {folder.page}")
    line(f"The winner's settings: {folder.best}; train it: python -m pipeline.train --config {quoted(folder.best)}")
