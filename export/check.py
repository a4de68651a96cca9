"""`python -m export.check RUN`: compare a run's ONNX files with its Keras model, on as many images as there are.

`python -m export` compares a few hundred images before it writes a file. This command compares files that were written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pneumo_tfds.program.bounds import Bounded, Count
from pneumo_tfds.program.command import Command, own_flags_first, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.overwriting import refuse_overwriting
from pneumo_tfds.program.quiet import quiet_tensorflow
from pneumo_tfds.program.wording import quoted
from pneumo_tfds.sources.source_options import SourceOptions

DIFFERS = 1
"""Exit code if a file differs from Keras by more than its budget."""


@own_flags_first
@dataclass(frozen=True, kw_only=True)
class Check(SourceOptions, Bounded, Command):
    """Compare a run's ONNX files with its Keras model on many images. The exit code is 1 if a file differs too much."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of an exported run, such as runs/first."""
    source: Path | None = None
    """X-rays to compare on: folder, zip or CSV. Default: the dataset the run was trained on."""
    dataset: Path | None = None
    """Built dataset to compare on, .../pneumo_tfds/CONFIG/VERSION, instead of --source."""
    data_dir: Path | None = None
    """Where built datasets are kept. Default: TFDS's own folder, ~/tensorflow_datasets."""
    split: Literal["train", "validation", "test", "all"] = "all"
    """Split whose images are compared."""
    threads: Count | None = None
    """Threads of the model. Default: one per core."""
    engine: Literal["onnxruntime", "openvino"] = "onnxruntime"
    """What computes the files."""
    json: Path | None = None
    """Also write the results to this file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source is not None and self.dataset is not None:
            raise InputError("--source and --dataset both name images; give one of them")
        self.require_a_source("--source", named=self.source is not None)


def check(command: Check) -> int:
    """Compare, print a line for each file and for each difference, and return the exit code."""
    from pipeline.run_folder.folder import RunFolder
    from pneumo_tfds.program.files import write_json

    folder, paths = command.run_folder, RunFolder(command.run_folder)
    files = sorted({*folder.glob("model*.onnx")} - {paths.onnx_any_size})  # its pictures are not squares
    if not files:
        raise InputError(f"{folder} holds no model.onnx; make one with python -m export {quoted(folder)}")
    read = (*files, paths.model, paths.metrics, paths.config, command.source, *command.corrections)
    refuse_overwriting({"--json": command.json}, read)
    quiet_tensorflow()
    from export.graph import convert
    from export.inference.onnx_metadata import metadata_of_run
    from export.parity import comparison, parity_sample
    from pneumo_tfds.prepared import prepare
    from pneumo_tfds.sources.keeping import keep_source
    from pneumo_tfds.sources.opening import open_source

    if paths.config.exists():
        paths.import_own_network()
    model = convert.load_keras(paths.model)
    side = convert.image_side(model)
    metadata = metadata_of_run(paths.read_json(paths.metrics), side, str(folder))
    if command.source is not None:
        source = open_source(command.source, command)
        keep_source({"--json": command.json}, source, command)
        dataset = prepare(source, side, command.data_dir, framing=metadata.framing)
    else:
        dataset = parity_sample.dataset_folder(folder, paths.read_json(paths.config), command.dataset)
    sample = parity_sample.take(dataset, command.split, side)
    expected = convert.reference(model)
    compare = partial(
        comparison.compare,
        labels=sample.labels,
        threshold=metadata.threshold,
        limits=metadata.limits if metadata.four_way else None,
        threads=command.threads,
        engine=command.engine,
    )
    reports: dict[str, dict[str, Any]] = {}
    for file in files:
        budget = comparison.FLOAT32 if file == paths.onnx else comparison.REDUCED
        report = compare(expected, file, sample.images, budget=budget)
        print("\n  ".join([f"{file}: {report.summary()}", *report.differences]), flush=True)
        reports[file.name] = report.to_json()
    if command.json is not None:
        asked = {"dataset": str(dataset), "split": command.split, "engine": command.engine}
        write_json(command.json, {**asked, "files": reports})
    return 0 if all(report["passed"] for report in reports.values()) else DIFFERS


if __name__ == "__main__":
    run(Check, check, prog="python -m export.check")
