"""Evaluate a finished run again, or on other X-rays: `python -m pipeline.evaluate RUN`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.quiet import quiet_tensorflow


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Score a run's model: figures with 95 % intervals, plots and report.html.

    Without --source, the run's own dataset is scored again and the files of the run folder are replaced. With --source,
    other X-rays are scored at the run's own threshold, into RUN/evaluation-NAME: the test folder of the source if it
    has one, else all of its images.
    """

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of a finished run, such as runs/first."""
    source: Path | None = None
    """Other X-rays to score: a folder, zip or CSV with NORMAL and PNEUMONIA."""
    split: Literal["all", "train", "validation", "test", "held_out"] = "all"
    """Which split of the run's own dataset to score. all: every split but train."""
    show_names: bool = False
    """Show file names of errors and folders of settings in report.html. Such a page may name patients."""


def evaluate(command: Evaluate) -> None:
    """Score, draw and print."""
    quiet_tensorflow()
    from pipeline.report.terminal import show
    from pipeline.stages.evaluate_run import evaluate_run

    show(evaluate_run(command.run_folder, command.source, command.split, show_names=command.show_names))


if __name__ == "__main__":
    run(Evaluate, evaluate, prog="python -m pipeline.evaluate")
