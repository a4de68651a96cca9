"""The command `python -m benchmarks`."""

from __future__ import annotations

import importlib
import importlib.util
import os

from benchmarks.benchmark_options import MODULES, BenchmarkOptions, Stage
from benchmarks.measuring import tensorflow_threads
from benchmarks.measuring.harness import Record
from pneumo_tfds.program.command import run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json, write_text
from pneumo_tfds.program.installed import how_to_install
from pneumo_tfds.program.quiet import quiet_tensorflow


def bench(options: BenchmarkOptions) -> None:
    """Run the stages, print a table as soon as it is complete, and write what was asked for."""
    from rich.console import Console

    from benchmarks.measuring import chart, machine, tables

    os.environ.update(tensorflow_threads.variables(options.workers))
    if "train" in options.chosen:
        _load_triton()
    console = Console()
    here = machine.describe(options.workers)
    console.print(machine.summary(here), highlight=False)
    records: list[Record] = []
    for stage in options.chosen:
        measured = _measure(stage, options)
        tables.show(measured, console)
        records += measured
        # After every stage: what is measured stays measured if a later one is interrupted.
        if options.json:
            write_json(options.json, _report(here, records))
        if options.markdown:
            write_text(options.markdown, tables.markdown(records, machine.summary(here)))
    if options.chart:
        chart.write(options.chart, records)


def _load_triton() -> None:
    """Load PyTorch's compiler now, if it is installed: loaded after TensorFlow, Triton 3.8 ends the process."""
    if importlib.util.find_spec("triton"):
        importlib.import_module("triton")


def _measure(stage: Stage, options: BenchmarkOptions) -> list[Record]:
    try:
        quiet_tensorflow()
        measured: list[Record] = importlib.import_module(MODULES[stage]).measure_stage(options)
    except ModuleNotFoundError as error:
        raise InputError(f"the stage {stage} needs {error.name}; {how_to_install('train')}") from error
    return measured


def _report(here: dict[str, object], records: list[Record]) -> dict[str, object]:
    return {
        "machine": here,
        "records": [record.to_json() for record in records if record.runs],
        "not_measured": [record.to_json() for record in records if not record.runs],
    }


if __name__ == "__main__":
    run(BenchmarkOptions, bench, prog="python -m benchmarks")
