"""`python -m export.check RUN`: whether a run's ONNX files answer as its Keras model does, on every image there is.

`python -m export` compares on a few hundred images before a file gets its name. This compares files that have theirs,
on as many images as you have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError, require
from pneumo_tfds.program.quiet import quiet_tensorflow

DIFFERS = 1
"""Exit code if a file is over its budget."""


@dataclass(frozen=True, kw_only=True)
class Check(Command):
    """Compare a run's ONNX files with its Keras model on many images. Leaves with 1 if a file is over its budget."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of an exported run, such as runs/first."""
    source: Path | None = None
    """X-rays to compare on: folder, zip or CSV; default: the dataset the run was trained on."""
    dataset: Path | None = None
    """Built dataset to compare on, .../pneumo_tfds/CONFIG/VERSION, in place of --source."""
    data_dir: Path | None = None
    """Where built datasets are kept (default: TFDS's own, ~/tensorflow_datasets)."""
    split: Literal["train", "validation", "test", "all"] = "all"
    """Which of its images."""
    threads: int = 0
    """Threads of onnxruntime; 0: one for each core."""
    json: Path | None = None
    """Write what was found of each file here."""

    def __post_init__(self) -> None:
        if self.source is not None and self.dataset is not None:
            raise InputError("--source and --dataset both name images; give one of them")
        require(self.threads >= 0, "threads", self.threads, "0 or more")


def check(config: Check) -> int:
    """Compare, print a line for each file and for each difference, and return the exit code."""
    from pneumo_tfds.program.files import write_json

    folder = config.run_folder
    files = sorted(folder.glob("model*.onnx"))
    if not files:
        raise InputError(f"{folder} holds no model.onnx; make one with python -m export {folder}")
    quiet_tensorflow()
    from export.graph import convert
    from export.inference.onnx_metadata import metadata_of_run
    from export.parity import comparison, parity_sample
    from pipeline.run_folder.folder import RunFolder

    kept = RunFolder(folder)
    model = convert.float32_copy(convert.load_keras(kept.model))
    side = convert.image_side(model)
    metrics, settings = kept.read_json(kept.metrics), kept.read_json(kept.config)
    threshold = metadata_of_run(metrics, settings, side, str(folder)).threshold
    place = _dataset(config, side, metrics, settings)
    sample = parity_sample.take_all(place, config.split, side)
    expected = convert.reference(model)
    found: dict[str, Any] = {}
    passed = True
    for file in files:
        report = comparison.compare(
            expected,
            file,
            sample.images,
            labels=sample.labels,
            threshold=threshold,
            budget=comparison.FLOAT32 if file == kept.onnx else comparison.REDUCED,
            threads=config.threads,
        )
        print("\n  ".join([f"{file}: {report.summary()}", *report.differences]), flush=True)
        found[file.name] = report.to_json()
        passed = passed and report.passed
    if config.json is not None:
        write_json(config.json, {"dataset": str(place), "split": config.split, "files": found})
    return 0 if passed else DIFFERS


def _dataset(config: Check, side: int, metrics: dict[str, Any], settings: dict[str, Any]) -> Path:
    from export.parity import parity_sample
    from pneumo_tfds.prepared import prepare

    if config.source is not None:
        return prepare(config.source, side, config.data_dir)
    return parity_sample.dataset_folder(config.run_folder, settings, metrics, config.dataset)


if __name__ == "__main__":
    run(Check, check, prog="python -m export.check")
