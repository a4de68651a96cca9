"""What a search costs: `python -m benchmarks.search_cost overhead|memory|workers --dataset FOLDER`.

Every command trains for real, prints a table, and writes its figures to `--json`. Times are measured in pairs, so that
a machine that slows down slows both sides.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from pipeline.config import DataConfig, FitConfig, ModelConfig, ModelName, RunConfig, SearchConfig
from pneumo_tfds.program.command import Command, run_one_of
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json
from pneumo_tfds.program.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from tuning.search.search_plan import Plan
    from tuning.search.tuner import Search

ALLOWED_PART, ALLOWED_SECONDS = 0.05, 1.0  # of a trial beside its bare fit
SETTLED = 5  # trials until what every process keeps once (compiled code, caches) is there


@dataclass(frozen=True, kw_only=True)
class Cost(Command):
    """What all measurements share."""

    dataset: Path
    """Folder of a built dataset, as `python -m pneumo_tfds build` prints it."""
    model: ModelName = "compact"
    """The network."""
    trials: int = 8
    """How many."""
    trial_epochs: int = 3
    """Epochs of each."""
    batch_size: int = 32
    """Images a step."""
    json: Path | None = None
    """Write the figures to this file."""

    def settings(self, **search: Any) -> RunConfig:
        """Give the settings of the search that is measured."""
        from pneumo_tfds.prepared import is_built

        if not is_built(self.dataset):
            raise InputError(f"--dataset {self.dataset} holds no built dataset; make one: python -m pneumo_tfds build")
        size = int(self.dataset.resolve().parent.name.rpartition("_")[2])
        return RunConfig(
            data=DataConfig(dataset=self.dataset.resolve(), image_size=size),
            model=ModelConfig(model=self.model),
            fit=FitConfig(batch_size=self.batch_size),
            search=SearchConfig(
                max_trials=self.trials, trial_epochs=self.trial_epochs, median_stopping=False, confirm_top=0, **search
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Overhead(Cost):
    """A trial beside the bare fit of the same settings: suggestion, checkpoints and files, judging, clean-up."""


@dataclass(frozen=True, kw_only=True)
class Memory(Cost):
    """Resident memory of one process after every trial."""

    trials: int = 50
    """How many."""
    trial_epochs: int = 1
    """Epochs of each."""


@dataclass(frozen=True, kw_only=True)
class Workers(Cost):
    """The same search by one worker on one core, and by two on two."""

    rounds: int = 1
    """How often both are measured."""


def overhead(command: Overhead) -> None:
    """Measure a trial and a bare fit of the same values, in turn, and compare."""
    _quiet()
    from functools import partial

    from pipeline.training.fit import fit
    from tuning.search.search_folder import SearchFolder, open_data
    from tuning.search.search_plan import Plan
    from tuning.trials import make_search

    plan = Plan(settings := command.settings(), (data := open_data(settings)).identity())
    train = partial(fit, train=data.train, validation=data.validation)
    with tempfile.TemporaryDirectory() as folder:
        tuner = make_search(plan, data, SearchFolder(Path(folder) / "tuner"))
        pairs = list(pairs_of(tuner, plan, train))
    heads = ("trial", "bare fit, s", "trial, s", "bare fit, CPU s", "trial, CPU s")
    _table(heads, [(str(number), *pair) for number, pair in enumerate(pairs, start=2)])
    bare, trial, bare_work, trial_work = (mean(side) for side in zip(*pairs, strict=True))
    allowed = ALLOWED_PART * bare + ALLOWED_SECONDS
    print(f"mean: a trial takes {trial - bare:+.2f} s ({trial / bare - 1:+.1%}) beside its bare fit of {bare:.2f} s; "
          f"{trial_work - bare_work:+.2f} s of CPU time; 5 % and 1 s are {allowed:.2f} s")  # fmt: skip
    _write(command, {"pairs": pairs})


def pairs_of(
    tuner: Search, plan: Plan, bare: Callable[[RunConfig], Any]
) -> Iterator[tuple[float, float, float, float]]:
    """Yield what a bare fit and the trial of the same values took, in pairs, until the search has ended.

    Seconds of both, then CPU seconds of both over all threads, which say more on a machine that others use too. The
    first pair is left out: it compiles what all later ones share.

    Args:
        tuner: a search that has not begun.
        plan: its plan.
        bare: trains the settings of a trial, without any search.
    """
    from tuning.search.keras_memory import given_back

    oracle, allowed = tuner.oracle, 0
    oracle.spent = lambda elapsed: len(oracle.start_order) >= allowed
    for number in range(plan.start.search.max_trials):
        start, allowed = _now(), number + 1
        tuner.search()
        trial = _now() - start
        config = plan.trial(oracle.trials[oracle.start_order[-1]].hyperparameters.values)
        with given_back():
            start = _now()
            bare(config)
            fitted = _now() - start
        if number:
            yield float(fitted[0]), float(trial[0]), float(fitted[1]), float(trial[1])


def _now() -> Any:
    import numpy as np

    return np.array([time.perf_counter(), time.process_time()])


def memory(command: Memory) -> None:
    """Measure resident memory after each trial of one process."""
    _quiet()
    from tuning.search.search_folder import SearchFolder, open_data
    from tuning.search.search_plan import Plan
    from tuning.trials import make_search

    settings = command.settings(tuner="random")
    data = open_data(settings)
    with tempfile.TemporaryDirectory() as folder:
        place = SearchFolder(Path(folder) / "tuner")
        found = after_each_trial(lambda note: make_search(Plan(settings, data.identity()), data, place, on_trial=note))
    early = min(SETTLED, len(found))
    settled, last = found[early - 1], found[-1]
    growth = last / settled - 1
    _table(("trial", "MiB"), [(str(number), one) for number, one in enumerate(found, start=1)])
    print(f"after trial {early}: {settled:.0f} MiB; after trial {len(found)}: {last:.0f} MiB ({growth:+.1%})")
    _write(command, {"mebibytes": found})


def after_each_trial(make: Callable[[Callable[[], None]], Search]) -> list[float]:
    """Run a search; give the resident memory of this process after each trial, MiB."""
    import psutil

    process, found = psutil.Process(), list[float]()
    make(lambda: found.append(process.memory_info().rss / 2**20)).search()
    return found


def workers(command: Workers) -> None:
    """Run one search with one worker on one core and with two on two; compare their seconds."""
    import json

    if len(cores := sorted(os.sched_getaffinity(0))) < 2:
        raise InputError("two workers need two cores, and this process may use one")
    from pipeline.config.config_json import to_dict

    settings = command.settings(tuner="random")
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(command.rounds):
        for count in (1, 2) if number % 2 == 0 else (2, 1):
            with tempfile.TemporaryDirectory() as folder, _confined_to(set(cores[:count])):
                search = dataclasses.replace(settings.search, workers=count)
                start = dataclasses.replace(settings, search=search)
                (Path(folder) / "config.json").write_text(json.dumps(to_dict(start)), encoding="utf-8")
                seconds[count].append(_search(Path(folder)))
    one, two = (mean(seconds[count]) for count in (1, 2))
    _table(("workers", "seconds"), [(str(count), *seconds[count]) for count in (1, 2)])
    print(f"two workers are {one / two:.2f} times as fast, start of the processes included")
    _write(command, {"one": seconds[1], "two": seconds[2]})


def _quiet() -> None:
    quiet_tensorflow()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns that every trial is traced anew, as it must be


@contextmanager
def _confined_to(cores: set[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # processes started from here inherit it
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _search(folder: Path) -> float:
    single = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tuning", "--run-dir", str(folder)]
    start = time.perf_counter()
    ended = subprocess.run(command, env=os.environ | single, stdout=subprocess.DEVNULL, check=False)
    if ended.returncode:
        raise InputError("the search did not end well; what it said is above")
    return time.perf_counter() - start


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*heads, box=SIMPLE_HEAD, pad_edge=False)
    for name, *figures in rows:
        drawn.add_row(name, *(f"{figure:.2f}" for figure in figures))
    Console().print(drawn)


def _write(command: Cost, figures: dict[str, Any]) -> None:
    if command.json:
        asked = {name: str(value) for name, value in vars(command).items() if name not in ("json", "debug")}
        write_json(command.json, {"asked": asked, **figures})


if __name__ == "__main__":
    run_one_of(
        {"overhead": (Overhead, overhead), "memory": (Memory, memory), "workers": (Workers, workers)},
        prog="python -m benchmarks.search_cost",
    )
