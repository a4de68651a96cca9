"""`python -m tuning`: search hyper-parameters, print the leaderboard, write the winner's settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pipeline.config import RunCommand, RunConfig
from pipeline.config.effects import require_effects
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.command import path_before_parsing, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.quiet import quiet_tensorflow
from tuning.search import kerastuner_roles
from tuning.settings_check import check_settings


@dataclass(frozen=True, kw_only=True)
class TuneCommand(RunCommand):
    """Search learning rate, dropout, L1 and L2 with KerasTuner; write RUN_DIR/tuner/leaderboard.csv and best.json."""

    run_dir: Path | None = None
    """Run folder; if it holds a config.json, the search starts from that. Default: a new one under runs/."""
    resume: bool = False
    """Resume the search in --run-dir, from the last epoch of the trial that was running."""
    track: tuple[str, ...] = ()
    """Hand every trial on to tensorboard, mlflow or wandb, or to a class of yours, package.module:Class. Each of the
    three is an extra. They stay on this machine unless their own variables say otherwise."""


def recorded_settings() -> TuneCommand | None:
    """Return the settings in --run-dir as the defaults of all flags; None if there are none that can be read."""
    path = path_before_parsing("--run-dir")
    if path is None:
        return None
    try:
        settings = RunFolder(path).read_start()
    except InputError:
        return None  # the search meets the same error and reports it
    return TuneCommand(**vars(settings))


def tune(command: TuneCommand) -> None:
    """Run the search, or a worker of it. Settings are checked before TensorFlow is imported, which takes seconds."""
    settings, role = command.settings(), kerastuner_roles.role()
    check_settings(settings)
    _check_effects(settings)
    if role == "chief":
        kerastuner_roles.check_port()
    elif role == "worker":
        if command.run_dir is None:
            raise InputError("a worker needs --run-dir, the run folder of its chief on a disk that both see")
        kerastuner_roles.await_chief()
    quiet_tensorflow()
    from tuning.session import run_search, run_worker

    run_dir = command.run_dir or Path("runs") / f"tuning-{datetime.now():%Y%m%d-%H%M%S}"
    if role == "worker":
        run_worker(run_dir)
    else:
        run_search(settings, run_dir, resume=command.resume, track=command.track)


def _check_effects(settings: RunConfig) -> None:
    """Raise InputError if a flag was given that has no effect on a search."""
    recorded = recorded_settings()
    before = recorded.settings() if recorded else RunConfig()
    if settings.search.tune and not before.search.tune:
        raise InputError("--tune has no effect on a search alone; leave it out, or use python -m pipeline.train")
    searching = replace(settings, search=replace(settings.search, tune=True))
    require_effects(searching, replace(before, search=replace(before.search, tune=True)))


if __name__ == "__main__":
    run(TuneCommand, tune, prog="python -m tuning", default=recorded_settings)
