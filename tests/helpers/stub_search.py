"""A search whose trials train nothing: for tests in this process, and as a command for tests that kill it.

`python stub_search.py RUN_DIR [--worker] [--seconds S] [--trials N] [--tuner T] [--epochs E] [--workers W]`
With KerasTuner's environment variables it is a cluster's chief or one of its workers.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path

from pipeline.config import FitConfig, ModelConfig, RunConfig, SearchConfig
from pneumo_tfds.program.errors import InputError

DATA = {"images": {"train": 80, "validation": 20}, "image_size": 32, "metadata": "abc"}


def start(**search):
    given = {"tuner": "random", "max_trials": 4, "trial_epochs": 3, "median_stopping": False} | search
    given = {"objective": "validation_auroc", "confirm_top": 0} | given
    return RunConfig(
        search=SearchConfig(**given),
        model=ModelConfig(model="compact", dropout=0.1),
        fit=FitConfig(learning_rate=2e-4, epochs=12),
    )


def auroc(config, epoch):
    """Best at a learning rate of 3e-3 and a dropout of 0.4, and better with every epoch."""
    distance = (math.log10(config.fit.learning_rate / 3e-3)) ** 2 / 4 + (config.model.dropout - 0.4) ** 2
    return 0.95 - 0.2 * distance - 0.05 / epoch


def training(seconds=0.0):
    """Return a stand-in for `pipeline.training.fit.fit` with its checkpoint.

    It notes every epoch that it trains, and then sleeps for `seconds`.
    """
    from pipeline.run_folder.history import Epoch
    from pipeline.training.fit import DivergedError, Fitted
    from pneumo_tfds.program.files import write_text

    def train(config, *, folder, until, on_epoch, description):
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / "state.npz"
        history = [Epoch(**row) for row in json.loads(state.read_text())] if state.exists() else []
        while len(history) < until:
            number = len(history) + 1
            if config.fit.learning_rate > 0.5:
                raise DivergedError("the loss is no longer finite in epoch 1; lower --learning-rate")
            value = auroc(config, number)
            history.append(Epoch(number, 1 - value, 0.0, 1 - value, value, value, seconds, 100.0, 0.0))
            write_text(state, json.dumps([vars(epoch) for epoch in history]))
            with (folder.parent / "trained.txt").open("a") as log:
                log.write(f"{number} {os.getpid()}\n")
            if on_epoch(history[-1]):
                break
            time.sleep(seconds)
        return Fitted(None, tuple(history))

    return train


def plan(**search):
    from tuning.search.search_plan import Plan

    return Plan(start(**search), DATA)


def values(plan, config):
    """Return the value of each searched parameter in `config`."""
    return {parameter.name: parameter.read(config) for parameter in plan.parameters}


def score(config, fitted):
    return fitted.best.validation_auroc


def tuner(run_dir, plan, train=None, folds=1, **options):
    """Return the tuner of a search that trains nothing; made again in the same folder, it resumes."""
    from pipeline.run_folder.folder import RunFolder
    from tuning.search.search_folder import SearchFolder
    from tuning.trials import make_tuner

    folder = SearchFolder(RunFolder(run_dir))
    return make_tuner(plan, None, folder, folds=[(train or training(), score)] * folds, **options)


def main():
    from rich.console import Console

    from pipeline.run_folder.folder import RunFolder
    from pneumo_tfds.program.files import write_json
    from tuning import local_workers
    from tuning.search import kerastuner_roles
    from tuning.search.search_folder import SearchFolder

    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--worker", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tuner", default="random")
    given = parser.parse_args()
    search = plan(tuner=given.tuner, max_trials=given.trials, trial_epochs=given.epochs)
    folder = SearchFolder(RunFolder(given.run_dir))

    def make():
        return tuner(given.run_dir, search, training(given.seconds))

    if given.worker:
        from tuning.worker import end_with_chief

        end_with_chief()
    if kerastuner_roles.role() == "worker":
        kerastuner_roles.await_chief()
        make().search()
        return
    with RunFolder(folder.path).locked():  # as `tuning.session` holds it
        search.write(folder.plan)
        report = Console(width=200).print
        if kerastuner_roles.role() == "chief":
            local_workers.serve(make(), None, report)
        elif given.workers == 1:
            make().search()
        else:
            port = kerastuner_roles.free_port()
            os.environ.update(kerastuner_roles.environment("chief", port))
            command = [sys.executable, __file__, *sys.argv[1:], "--worker"]
            workers = local_workers.LocalWorkers(command, given.workers, port, folder.logs)
            local_workers.serve(make(), workers, report)
        write_json(folder.path / "done.json", True)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
