"""The flags of `python -m benchmarks`, and what they mean to a stage."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from benchmarks.measuring.harness import Pace
from pneumo_tfds.program.command import Command
from pneumo_tfds.program.errors import InputError, require

Stage = Literal["build", "input", "augment", "train", "inference"]

MODULES: dict[Stage, str] = {
    "build": "benchmarks.build",
    "input": "benchmarks.input_speed",
    "augment": "benchmarks.augmentation",
    "train": "benchmarks.training",
    "inference": "benchmarks.inference",
}
"""Each has `run(options: Options) -> list[Record]` and is imported when its turn comes."""


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class Options(Command):
    """Measure images per second of every stage beside its peers and its limit."""

    stages: Annotated[tuple[Stage, ...], tyro.conf.Positional] = ()
    """Which stages; all of them if none is named."""
    source: Path | None = None
    """Folder or zip of chest X-rays; without it, phantoms."""
    json: Path | None = None
    """Write every figure to this file."""
    markdown: Path | None = None
    """Write the tables to this file as Markdown."""
    chart: Path | None = None
    """Write a bar chart of all tables to this file (.png or .svg)."""
    threads: int = 0
    """Threads or worker processes each contender may use; 0 means one a core."""
    quick: bool = False
    """Fewer and shorter runs: shows that everything works, the figures are rough."""

    def __post_init__(self) -> None:
        require(0 <= self.threads <= 1024, "threads", self.threads, "from 0 to 1024")
        if self.chart and self.chart.suffix not in (".png", ".svg", ".pdf"):
            raise InputError(f"--chart {self.chart} ends in {self.chart.suffix or 'nothing'}; use .png, .svg or .pdf")

    @property
    def chosen(self) -> tuple[Stage, ...]:
        """The stages to run, in the order of the road."""
        return tuple(stage for stage in MODULES if not self.stages or stage in self.stages)

    @property
    def workers(self) -> int:
        """How many threads or processes each contender gets."""
        return self.threads or cores()

    def pace(self, seconds: float = 1.5, rounds: int = 5) -> Pace:
        """Give how long to measure: as asked, or two short rounds with --quick."""
        return Pace(2, min(seconds, 0.25)) if self.quick else Pace(rounds, seconds)
