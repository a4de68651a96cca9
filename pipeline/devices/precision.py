"""Precision and XLA compilation of the training step, chosen by the capabilities of the device."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline.config import FitConfig
from pipeline.devices.tf_config import read_cluster
from pneumo_tfds.program.errors import InputError

BFLOAT16_CAPABILITY = (8, 0)  # CUDA compute capability of Ampere, the first with bfloat16 matrix units
FLOAT16_CAPABILITY = (7, 0)  # Volta, the first with float16 matrix units
NOT_COMPILED = re.compile(r"unsupported operations.*? on XLA_\w+: (\w+).*?\{\{node ([^}]*)\}\}", re.DOTALL)
BFLOAT16_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True)
class Execution:
    """How the training step runs on the device at hand."""

    device: str
    """CPU, or the name of the GPU; for display."""
    precision: str
    """Keras dtype policy of the layers."""
    xla: bool
    """Whether the whole step is compiled by XLA."""
    note: str = ""
    """A warning about this choice, for display; empty if there is none."""


def choose(config: FitConfig) -> Execution:
    """Choose the precision and compilation of a run.

    On a CPU, `auto` is mixed_bfloat16 if it has instructions for that, else float32, both without XLA. On a GPU it is
    mixed_bfloat16 or mixed_float16 by compute capability, with XLA. docs/explanation/speed.md has the measurements
    behind this, and `python -m benchmarks train` repeats them. A step on several devices is not compiled by XLA.

    Raises:
        InputError: XLA was requested on several devices.
    """
    several = config.devices > 1 or read_cluster().workers > 1
    if several and config.xla == "on":
        raise InputError("--xla on: XLA cannot compile a step on several devices; leave the flag out")
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        native = "mixed_bfloat16" if cpu_flags() & BFLOAT16_CPU_FLAGS else "float32"
        precision = native if config.precision == "auto" else config.precision
        return Execution("CPU", precision, config.xla == "on", _cpu_note(precision))
    details = tf.config.experimental.get_device_details(gpus[0])
    capability = details.get("compute_capability", (0, 0))
    precision = _gpu_precision(capability) if config.precision == "auto" else config.precision
    xla = config.xla != "off" and not several
    return Execution(details.get("device_name", "GPU"), precision, xla, _gpu_note(precision, capability))


def compiled(step: Callable[..., Any], execution: Execution) -> Callable[..., Any]:
    """Compile a training step: into a graph, and by XLA if `execution.xla`.

    The returned function raises InputError if XLA cannot compile one of its operations.
    """
    graph = tf.function(step, jit_compile=execution.xla)
    if not execution.xla:
        return graph  # type: ignore[no-any-return]

    def by_xla(*arguments: Any) -> Any:
        try:
            return graph(*arguments)
        except tf.errors.InvalidArgumentError as error:
            found = NOT_COMPILED.search(str(error))
            if not found:
                raise
            operation, layer = found.groups()
            raise InputError(f"XLA cannot compile {operation}, which {layer} needs; give --xla off") from error

    return by_xla


def _gpu_precision(capability: tuple[int, int]) -> str:
    if capability >= BFLOAT16_CAPABILITY:
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= FLOAT16_CAPABILITY else "float32"


def _gpu_note(precision: str, capability: tuple[int, int]) -> str:
    needed = {"mixed_bfloat16": BFLOAT16_CAPABILITY, "mixed_float16": FLOAT16_CAPABILITY}.get(precision, (0, 0))
    if capability >= needed:
        return ""
    return f"this GPU (capability {capability[0]}.{capability[1]}) only emulates {precision}; float32 will be faster"


def _cpu_note(precision: str) -> str:
    if precision == "float32" or (precision == "mixed_bfloat16" and cpu_flags() & BFLOAT16_CPU_FLAGS):
        return ""
    return f"this CPU only emulates {precision}: a step takes up to 14 times as long as in float32"


def cpu_flags() -> frozenset[str]:
    """Return the instruction sets of the CPU from /proc/cpuinfo; none if there is no such file."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return frozenset()
    for line in information.read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            return frozenset(line.split(":", 1)[1].split())
    return frozenset()
