"""What a search costs beyond training: `python -m benchmarks.search_cost overhead|memory|workers --dataset FOLDER`.

Every command trains for real, prints a table, and writes its figures to `--json`. Times are measured in pairs, so that
a machine that slows down slows both sides.
"""

from __future__ import annotations

import dataclasses
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
    from tuning.search.search_folder import SearchData, SearchFolder
    from tuning.search.search_plan import Plan
    from tuning.search.tuner import SearchTuner

ALLOWED_PART, ALLOWED_SECONDS = 0.05, 1.0  # of a trial in addition to its bare fit
SETTLED = 5  # trials until everything that a process keeps once (compiled code, caches) is in memory


@dataclass(frozen=True, kw_only=True)
class CostCommand(Command):
    """Flags that all measurements share."""

    dataset: Path
    """Folder of a built dataset, as `python -m pneumo_tfds build` prints it."""
    model: ModelName = "compact"
    """The network."""
    trials: int = 8
    """Number of trials."""
    trial_epochs: int = 3
    """Epochs of each trial."""
    batch_size: int = 32
    """Images a step."""
    json: Path | None = None
    """Write the figures to this file."""

    def settings(self, **search: Any) -> RunConfig:
        """Return the settings of the search that is measured.

        Raises:
            InputError: a flag is not valid.
        """
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
class Overhead(CostCommand):
    """Compare a trial with the bare fit of the same settings: suggestion, checkpoints, files, scoring, clean-up."""


@dataclass(frozen=True, kw_only=True)
class Memory(CostCommand):
    """Measure the resident memory of one process after every trial."""

    trials: int = 50
    """Number of trials."""
    trial_epochs: int = 1
    """Epochs of each trial."""


@dataclass(frozen=True, kw_only=True)
class Workers(CostCommand):
    """Compare the same search by one worker on one core and by two workers on two cores."""

    rounds: int = 1
    """Number of measurements of both."""


def overhead(command: Overhead) -> None:
    """Measure a trial and a bare fit of the same values in turn, and compare."""
    with _searching(command.settings()) as (plan, data, folder):
        from functools import partial

        from pipeline.training.fit import fit
        from tuning.trials import make_tuner

        train = partial(fit, train=data.train, validation=data.validation)
        pairs = list(pairs_of(make_tuner(plan, data, folder), plan, train))
    heads = ("trial", "bare fit, s", "trial, s", "bare fit, CPU s", "trial, CPU s")
    _print_table(heads, [(str(number), *pair) for number, pair in enumerate(pairs, start=2)])
    bare, trial, bare_work, trial_work = (mean(side) for side in zip(*pairs, strict=True))
    allowed = ALLOWED_PART * bare + ALLOWED_SECONDS
    print(f"mean: a trial takes {trial - bare:+.2f} s ({trial / bare - 1:+.1%}) beside its bare fit of {bare:.2f} s; "
          f"{trial_work - bare_work:+.2f} s of CPU time; 5 % and 1 s are {allowed:.2f} s")  # fmt: skip
    _write(command, {"pairs": pairs})


def pairs_of(
    tuner: SearchTuner, plan: Plan, bare: Callable[[RunConfig], Any]
) -> Iterator[tuple[float, float, float, float]]:
    """Yield the times of a bare fit and of the trial of the same values, in pairs, until the search has ended.

    Seconds of both come first, then CPU seconds of both over all threads, which mean more on a busy machine. The first
    pair is left out, because it compiles what all later ones share.

    Args:
        tuner: a search that has not begun.
        plan: its plan.
        bare: trains the settings of a trial, without any search.
    """
    from tuning.search.keras_memory import releasing_memory

    oracle, allowed = tuner.oracle, 0
    oracle.budget_spent = lambda elapsed: len(oracle.start_order) >= allowed
    for number in range(plan.start.search.max_trials):
        start, allowed = _now(), number + 1
        tuner.search()
        trial = _now() - start
        config = plan.trial(oracle.trials[oracle.start_order[-1]].hyperparameters.values)
        with releasing_memory():
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
    with _searching(command.settings(tuner="random")) as (plan, data, folder):
        from tuning.trials import make_tuner

        found = after_each_trial(lambda note: make_tuner(plan, data, folder, on_trial=note))
    early = min(SETTLED, len(found))
    settled, last = found[early - 1], found[-1]
    _print_table(("trial", "MiB"), [(str(number), one) for number, one in enumerate(found, start=1)])
    growth = f"{last / settled - 1:+.1%}"
    print(f"after trial {early}: {settled:.0f} MiB; after trial {len(found)}: {last:.0f} MiB ({growth})")
    _write(command, {"mebibytes": found})


def after_each_trial(make: Callable[[Callable[[], None]], SearchTuner]) -> list[float]:
    """Run a search; return the resident memory of this process after each trial, MiB."""
    import psutil

    process, found = psutil.Process(), list[float]()
    make(lambda: found.append(process.memory_info().rss / 2**20)).search()
    return found


def workers(command: Workers) -> None:
    """Run one search with one worker on one core and with two on two; compare their seconds."""
    if len(cores := sorted(os.sched_getaffinity(0))) < 2:
        raise InputError("two workers need two cores, and this process may use one")
    from pipeline.run_folder.folder import RunFolder

    settings = command.settings(tuner="random")
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(command.rounds):
        for count in (1, 2) if number % 2 == 0 else (2, 1):
            with tempfile.TemporaryDirectory() as folder, confined_to(set(cores[:count])):
                search = dataclasses.replace(settings.search, workers=count)
                RunFolder(Path(folder)).write_config(dataclasses.replace(settings, search=search))
                seconds[count].append(search_seconds(Path(folder)))
    one, two = (mean(seconds[count]) for count in (1, 2))
    _print_table(("workers", "seconds"), [(str(count), *seconds[count]) for count in (1, 2)])
    print(f"two workers are {one / two:.2f} times as fast, start of the processes included")
    _write(command, {"one": seconds[1], "two": seconds[2]})


@contextmanager
def _searching(settings: RunConfig) -> Iterator[tuple[Plan, SearchData, SearchFolder]]:
    """Yield plan, images and a temporary folder of a search."""
    quiet_tensorflow()
    from pipeline.run_folder.folder import RunFolder
    from tuning.search.search_folder import SearchFolder, open_data
    from tuning.search.search_plan import Plan
    from tuning.session import quiet_libraries

    data = open_data(settings)
    with tempfile.TemporaryDirectory() as folder, quiet_libraries():
        yield Plan(settings, data.identity()), data, SearchFolder(RunFolder(Path(folder)))


@contextmanager
def confined_to(cores: set[int]) -> Iterator[None]:
    """Confine this process, and processes that it starts, to these cores for the duration of the block."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def search_seconds(run_dir: Path) -> float:
    """Run the search in a run folder with one thread for each worker; return its duration.

    Raises:
        InputError: it failed.
    """
    single = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tuning", "--run-dir", str(run_dir)]
    start = time.perf_counter()
    ended = subprocess.run(command, env=os.environ | single, stdout=subprocess.DEVNULL, check=False)
    if ended.returncode:
        raise InputError("the search failed; its message is above")
    return time.perf_counter() - start


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False)
    for name, *figures in rows:
        table.add_row(name, *(f"{figure:.2f}" for figure in figures))
    Console().print(table)


def _write(command: CostCommand, figures: dict[str, Any]) -> None:
    if command.json:
        asked = {name: str(value) for name, value in vars(command).items() if name not in ("json", "debug")}
        write_json(command.json, {"asked": asked, **figures})


if __name__ == "__main__":
    run_one_of(
        {"overhead": (Overhead, overhead), "memory": (Memory, memory), "workers": (Workers, workers)},
        prog="python -m benchmarks.search_cost",
    )
