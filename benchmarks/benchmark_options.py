"""The flags of `python -m benchmarks`, and what they mean to a stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from annotated_types import Ge, Le

from benchmarks.measuring.harness import Pace
from pneumo_tfds.program.bounds import Bounded
from pneumo_tfds.program.command import Command
from pneumo_tfds.program.errors import InputError

Stage = Literal["build", "input", "augment", "train", "inference", "serve"]

MODULES: dict[Stage, str] = {
    "build": "benchmarks.build_speed",
    "input": "benchmarks.input_speed",
    "augment": "benchmarks.augmentation_speed",
    "train": "benchmarks.training_speed",
    "inference": "benchmarks.inference_speed",
    "serve": "benchmarks.serve_speed",
}
"""Each has `measure_stage(options: BenchmarkOptions) -> list[Record]` and is imported when its turn comes."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(Command, Bounded):
    """Measure images per second of every stage beside its peers and its limit."""

    stages: Annotated[tuple[Stage, ...], tyro.conf.Positional] = ()
    """Which stages; all of them if none is named."""
    source: Path | None = None
    """Folder or zip of chest X-rays; without it, phantoms."""
    model: Path | None = None
    """The .onnx file that inference and serve measure, in place of a small network with fresh weights."""
    json: Path | None = None
    """Write every figure to this file."""
    markdown: Path | None = None
    """Write the tables to this file as Markdown."""
    chart: Path | None = None
    """Write a bar chart of all tables to this file (.png, .svg or .pdf)."""
    threads: Annotated[int | None, Ge(1), Le(1024)] = None
    """Threads or worker processes that each contender may use. Default: one per core."""
    quick: bool = False
    """Fewer and shorter runs: shows that everything works, the figures are rough."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chart and self.chart.suffix not in (".png", ".svg", ".pdf"):
            raise InputError(f"--chart {self.chart} ends in {self.chart.suffix or 'nothing'}; use .png, .svg or .pdf")

    @property
    def chosen(self) -> tuple[Stage, ...]:
        """The stages to run, in the order of `MODULES`."""
        return tuple(stage for stage in MODULES if not self.stages or stage in self.stages)

    @property
    def workers(self) -> int:
        """How many threads or processes each contender gets."""
        from pneumo_tfds.program.cores_and_memory import available_cores

        return self.threads or available_cores()

    def pace(self, seconds: float, rounds: int) -> Pace:
        """Return how long to measure: as given, or two short rounds with --quick."""
        return Pace(2, min(seconds, 0.25)) if self.quick else Pace(rounds, seconds)
