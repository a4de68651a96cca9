"""`python -m export RUN`: write a run's model as ONNX files, each compared with Keras before it gets its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from export.export_options import ExportOptions
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.installed import require_installed
from pneumo_tfds.program.quiet import quiet_tensorflow


@dataclass(frozen=True, kw_only=True)
class Export(ExportOptions, Command):
    """Write a run's model.onnx, parity.json and golden.npz, and smaller variants where they keep their accuracy."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of a finished run, such as runs/first."""
    dataset: Path | None = None
    """Built dataset to compare on, .../pneumo_tfds/CONFIG/VERSION. Default: the one the run was trained on."""
    sbom: bool = False
    """Also write bom.cdx.json, a CycloneDX bill of materials: the files, their origin, and every installed package."""


def export(command: Export) -> None:
    """Export the run and print a line for each file. A model.onnx that differs from Keras is an error (exit code 2)."""
    require_installed("tensorflow")
    folder = RunFolder(command.run_folder)
    folder.require_folder()  # now, as the next imports take seconds
    quiet_tensorflow()
    from export.export_run import export_run

    written = set()
    for file, summary in export_run(command.run_folder, command, dataset=command.dataset):
        print(f"{file}: {summary}")
        written.add(file)
    if command.sbom and folder.bill_of_materials not in written:
        from export.bill_of_materials import write_bill_of_materials

        print(f"{write_bill_of_materials(folder)}: the bill of materials")


if __name__ == "__main__":
    run(Export, export, prog="python -m export")
