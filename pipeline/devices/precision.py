"""Precision and XLA compilation of the training step, chosen by the capabilities of the device."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from pipeline.config import FitConfig
from pipeline.devices.tf_config import read_cluster
from pneumo_tfds.program import processor
from pneumo_tfds.program.errors import InputError

# CUDA compute capability of the first GPUs with matrix units for a precision, Ampere and Volta; the fastest first.
GPU_CAPABILITIES = {"mixed_bfloat16": (8, 0), "mixed_float16": (7, 0), "float32": (0, 0)}
# Instruction sets without bfloat16 that a user may limit oneDNN to (`dnnl_cpu_isa_t` of its documentation), and how.
WITHOUT_BFLOAT16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"}
ISA_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
NOT_COMPILED = re.compile(r"unsupported operations.*? on XLA_\w+: (\w+).*?\{\{node ([^}]*)\}\}", re.DOTALL)


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
    why: str = ""
    """How the choice was made, for display; empty if it follows from the device and the settings."""


def candidates(config: FitConfig) -> list[Execution]:
    """Return the ways to run a training step here among which measuring has to decide, the likeliest first.

    On a CPU with bfloat16 instructions, `auto` is mixed_bfloat16 or float32; on another one float32; both without XLA.
    On a GPU it is mixed_bfloat16 or mixed_float16 by compute capability, with XLA. docs/explanation/speed.md has the
    measurements behind this, and `python -m benchmarks train` repeats them. Several devices or machines take the
    likeliest way, because all must take the same, and so do deterministic runs. A step on several devices is not
    compiled by XLA.

    Raises:
        InputError: XLA was requested on several devices.
    """
    likeliest = choose(config)
    several = config.devices > 1 or read_cluster().workers > 1
    fixed = several or config.deterministic or config.precision != "auto"
    if likeliest.device != "CPU" or fixed or likeliest.precision == "float32":
        return [likeliest]
    return [likeliest, replace(likeliest, precision="float32")]


def choose(config: FitConfig) -> Execution:
    """Return the way to run a training step that is the fastest on most machines of this kind; see `candidates`.

    Raises:
        InputError: XLA was requested on several devices, or bfloat16 where an environment variable turns it off.
    """
    several = config.devices > 1 or read_cluster().workers > 1
    if several and config.xla == "on":
        raise InputError("--xla on: XLA cannot compile a step on several devices; leave the flag out")
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        has_bfloat16 = (processor.instruction_sets() or {}).get("bfloat16", False)
        limit = next((name for name in ISA_VARIABLES if os.environ.get(name, "").upper() in WITHOUT_BFLOAT16), None)
        native = "mixed_bfloat16" if has_bfloat16 and not limit else "float32"
        precision = native if config.precision == "auto" else config.precision
        if has_bfloat16 and limit and precision == "mixed_bfloat16":  # TensorFlow asks oneDNN for it all the same
            raise InputError(
                f"--precision mixed_bfloat16: {limit}={os.environ[limit]} keeps TensorFlow from this CPU's bfloat16; "
                "unset the variable, or give --precision float32"
            )
        slow = precision not in ("float32", native)
        note = f"this CPU only emulates {precision}: a step takes up to 14 times as long as in float32" if slow else ""
        return Execution("CPU", precision, config.xla == "on", note)
    details = tf.config.experimental.get_device_details(gpus[0])
    capability = details.get("compute_capability", (0, 0))
    native = next(name for name, least in GPU_CAPABILITIES.items() if capability >= least)
    precision = native if config.precision == "auto" else config.precision
    slow, version = capability < GPU_CAPABILITIES[precision], ".".join(map(str, capability))
    note = f"this GPU (capability {version}) only emulates {precision}; float32 will be faster" if slow else ""
    return Execution(details.get("device_name", "GPU"), precision, config.xla != "off" and not several, note)


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
