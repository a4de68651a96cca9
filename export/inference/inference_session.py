"""Sessions that answer with a model file: onnxruntime's, or OpenVINO's with the same methods."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from export.inference import content_digest
from export.inference.onnx_metadata import ModelFileError
from pneumo_tfds.program.cores_and_memory import available_cores, cores_are_limited
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.installed import version_of

# onnxruntime's errors have no common base class. These are what `run` raises for a broken file. The last two may also
# be about memory (`pneumo_tfds.program.machine_errors`).
BROKEN = (
    ort_errors.InvalidArgument, ort_errors.InvalidGraph, ort_errors.NotImplemented, ort_errors.Fail,
    ort_errors.RuntimeException,
)  # fmt: skip
ORT_ERRORS = (*BROKEN, ort_errors.InvalidProtobuf, ort_errors.NoSuchFile)
ERRORS_ONLY = 3  # onnxruntime's log severity
# Waiting threads sleep instead of spinning, and take work in small pieces. Spinning occupies the cores that decode the
# next images and serve the next request: on two half-busy cores it halved the rate of single images.
SESSION = {"session.intra_op.allow_spinning": "0", "session.dynamic_block_base": "4"}


def open_session(
    path: Path,
    *,
    threads: int | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
    engine: str = "onnxruntime",
) -> Any:
    """Open a session on a model file: onnxruntime's with all graph optimisations, or OpenVINO's.

    Raises:
        ModelFileError: the engine cannot read the file.
        InputError: `threads` is no number from 1 on, a provider cannot be used here, or the engine is not installed.
    """
    if threads is not None and (not isinstance(threads, Integral) or threads < 1):
        raise InputError(f"threads is {threads}; it must be 1 or more, or None for one per core")
    content_digest.require_file(path)
    names = [one if isinstance(one, str) else one[0] for one in providers]
    _require_providers(names, ort.get_available_providers())
    options, computes = ort.SessionOptions(), engine == "onnxruntime"  # it describes the file in any case
    # 0: one per physical core, each bound to a core, also to one that this process may not use.
    count = threads or (available_cores() if cores_are_limited() else 0)
    options.intra_op_num_threads = count if computes else 1
    options.inter_op_num_threads = 1
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if computes else level.ORT_DISABLE_ALL
    options.log_severity_level = ERRORS_ONLY
    for name, value in SESSION.items():
        options.add_session_config_entry(name, value)
    try:
        session = ort.InferenceSession(str(path), options, providers=list(providers))
    except (*ORT_ERRORS, ValueError) as error:
        reason = reason_of(error)
        raise ModelFileError(f"{path} is not a readable ONNX file ({reason:.120}); export or copy it again") from error
    _require_providers(names, session.get_providers())  # one that cannot start is left out without an error
    if computes:
        return session
    from export.inference.openvino_session import OpenVinoSession

    return OpenVinoSession(path, session, count)


def _require_providers(names: Sequence[str], there: Sequence[str]) -> None:
    if missing := [name for name in names if name not in there]:
        raise InputError(f"onnxruntime cannot compute with {missing[0]} here; there is {', '.join(there)}")


def version_of_engine(engine: str) -> str:
    """Return the version of an engine; onnxruntime is installed by packages of several names."""
    return str(ort.__version__) if engine == "onnxruntime" else version_of(engine)
