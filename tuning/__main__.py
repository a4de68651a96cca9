"""`python -m tuning`: search hyper-parameters, print the leaderboard, write down the winner."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import RunCommand, RunConfig
from pipeline.config.config_json import read
from pneumo_tfds.program.command import run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.quiet import quiet_tensorflow
from tuning.search import kerastuner_roles
from tuning.search.objective import parse
from tuning.search.space import space

PROG = "python -m tuning"


@dataclass(frozen=True, kw_only=True)
class TuneCommand(RunCommand):
    """Search learning rate, dropout, L1 and L2 with KerasTuner; write RUN_DIR/tuner/leaderboard.csv and best.json."""

    run_dir: Path | None = None
    """Run folder; if it holds a config.json, the search starts from that. Default: a new one under runs/."""
    resume: bool = False
    """Go on with the search in --run-dir, from the last epoch of the trial that was running."""


def recorded(arguments: list[str]) -> TuneCommand | None:
    """Give the settings that --run-dir holds as the defaults of all flags; None if it holds none that can be read."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--run-dir", "--run_dir", type=Path)
    try:
        folder = parser.parse_known_args(arguments)[0].run_dir
        if folder is None:
            return None
        begun = folder / "tuner" / "start.json"  # config.json holds the winner once pipeline.train went on
        settings = read(begun if begun.exists() else folder / "config.json", RunConfig)
    except (InputError, argparse.ArgumentError):
        return None  # the search meets the same error and says so
    return TuneCommand(**vars(settings))


def tune(command: TuneCommand) -> None:
    """Run the search. What can be refused at once is, before TensorFlow is imported, which takes seconds."""
    settings = command.settings()
    space(settings.search.ranges, settings.search.space, settings)
    parse(settings.search.objective)
    role = kerastuner_roles.role()
    if role == "chief":
        kerastuner_roles.check_port()
    elif role == "worker" and command.run_dir:
        kerastuner_roles.await_chief()
    quiet_tensorflow()
    from tuning.session import search

    search(settings, command.run_dir, resume=command.resume)


if __name__ == "__main__":
    run(TuneCommand, tune, prog=PROG, default=recorded(sys.argv[1:]))
