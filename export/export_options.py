"""Options of an export: flags of `python -m export`, and of `python -m pipeline.train`, which exports at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from pneumo_tfds.program.bounds import Bounded, Count
from pneumo_tfds.program.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Bounded):
    """Which files an export writes, and how it compares them with Keras."""

    int8: bool = False
    """Also write model.int8.onnx: a quarter of the size; faster only on CPUs with int8 dot products."""
    fp16: bool = False
    """Also write model.fp16.onnx: half the size, for GPUs."""
    any_size: bool = False
    """Also write model.any_size.onnx: takes pictures of any size, for programs without this project's decoder."""
    parity_images: Annotated[int, Ge(0)] = 256
    """Validation images on which the ONNX files are compared with Keras; 0 takes all of them."""
    calibration_images: Annotated[int, Ge(1)] = 512
    """Training images that set the value ranges of the int8 file."""
    threads: Count | None = None
    """Threads of onnxruntime during the comparison. Default: one per core."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.int8 and self.calibration_images != ExportOptions.calibration_images:
            raise InputError("--calibration-images has no effect without --int8; leave it out")
