"""`python -m export RUN`: the run's model as ONNX files that were compared with Keras before they got their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import require


@dataclass(frozen=True, kw_only=True)
class Export(Command):
    """Write a run's model.onnx, parity.json and golden.npz; smaller variants where they keep their accuracy."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of a finished run, such as runs/first."""
    int8: bool = False
    """Also model.int8.onnx: a quarter of the size; faster only on CPUs with int8 dot products."""
    fp16: bool = False
    """Also model.fp16.onnx: half the size, for GPUs."""
    dataset: Path | None = None
    """Built dataset to compare on, .../pneumo_tfds/CONFIG/VERSION; default: the one the run was trained on."""
    parity_images: int = 256
    """Validation images to compare Keras and the files on; 0: all of them."""
    calibration_images: int = 128
    """Training images that set the int8 ranges."""
    threads: int = 0
    """Threads of onnxruntime while comparing; 0: one for each core."""

    def __post_init__(self) -> None:
        for name, least in (("parity_images", 0), ("calibration_images", 1), ("threads", 0)):
            value = getattr(self, name)
            require(value >= least, name.replace("_", "-"), value, f"{least} or more")


def export(config: Export) -> None:
    """Export as the flags say; a file whose answers differ from Keras's ends the command with exit code 2."""
    from export.export_run import export_run

    flags = {
        name: getattr(config, name)
        for name in ("dataset", "int8", "fp16", "parity_images", "calibration_images", "threads")
    }
    for file, summary in export_run(config.run_folder, **flags):
        print(f"{file}: {summary}")


if __name__ == "__main__":
    run(Export, export, prog="python -m export")
