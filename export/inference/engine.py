"""Which library computes an answer: onnxruntime, or OpenVINO (extra `openvino`) where it is faster and as exact."""

from __future__ import annotations

from typing import Literal, get_args

from pneumo_tfds.program import processor
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.installed import is_installed

Engine = Literal["auto", "onnxruntime", "openvino"]


def resolve(engine: Engine, *, is_int8: bool) -> Literal["onnxruntime", "openvino"]:
    """Return what computes a file. auto is OpenVINO where it was measured to be faster: int8, on a CPU with VNNI.

    Raises:
        InputError: there is no such engine.
    """
    if engine not in get_args(Engine):
        raise InputError(f"engine {engine!r} is not one of {', '.join(get_args(Engine))}")
    if engine != "auto":
        return engine
    return "openvino" if is_int8 and has_vnni() and is_installed("openvino") else "onnxruntime"


def has_vnni() -> bool | None:
    """Return whether the processor has instructions for dot products of 8 bits; None where the system does not tell."""
    return (processor.instruction_sets() or {}).get("VNNI")
