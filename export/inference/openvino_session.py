"""A session of OpenVINO's with the methods of onnxruntime's that are used here."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.inference.onnx_metadata import ModelFileError
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.installed import how_to_install

SIZES = (8, 2, 1)
"""Images that are computed at once. A network that is compiled for any number takes 1.5 to 2.5 times as long, one for
16 is hardly faster than one for 8, and each takes a second of one core to compile, of the default network."""
SETTINGS = {
    "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False,
}  # fmt: skip
"""Without f32, OpenVINO computes in bfloat16 where the processor can, which moves probabilities by up to 0.04. With
pinning, each process of one thread computes on the first core, however many processes there are."""


class OpenVinoSession:
    """A network that OpenVINO computes, and onnxruntime describes. Threads may share it, and take turns.

    Args:
        path: the model file.
        described: onnxruntime's session of the file.
        threads: threads that compute; 0 for one per core.

    Raises:
        ModelFileError: OpenVINO cannot compute the file.
        InputError: OpenVINO is not installed.
    """

    def __init__(self, path: Path, described: Any, threads: int) -> None:
        self.get_inputs, self.get_outputs = described.get_inputs, described.get_outputs
        self.get_modelmeta = described.get_modelmeta
        self._path, self._one_at_a_time = path, threading.Lock()
        core, settings = import_openvino().Core(), {**SETTINGS, "INFERENCE_NUM_THREADS": threads}
        try:
            network = core.read_model(path.read_bytes())
            self._requests = {}
            for size in SIZES:
                network.reshape([size, *self.get_inputs()[0].shape[1:]])
                self._requests[size] = core.compile_model(network, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise self._refused(error) from error

    def run(self, names: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Compute the outputs of these names for any number of images, in pieces of `SIZES`; raises ModelFileError."""
        (images,) = feeds.values()
        try:
            with self._one_at_a_time:
                found = [self._infer(part) for part in _pieces(images)]
        except RuntimeError as error:
            raise self._refused(error) from error
        return [np.concatenate([part[name] for part in found]) for name in names]

    def _infer(self, images: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[Any]]:
        request = self._requests[len(images)]
        # Sharing the memory instead made a single image take 1.25 times as long.
        request.get_input_tensor().data[:] = images
        outputs: Mapping[str, npt.NDArray[Any]] = request.infer()
        return outputs

    def _refused(self, error: RuntimeError) -> ModelFileError:
        reason = " ".join(str(error).rpartition("Summary:")[2].split())  # names operators that it does not know
        return ModelFileError(f"{self._path} cannot be run by OpenVINO ({reason:.200}); give --engine onnxruntime")


def import_openvino() -> Any:
    """Import OpenVINO without the package by which it reports each import to its makers.

    Raises:
        InputError: it is not installed, or not for this system.
    """
    blocked: dict[str, Any] = sys.modules
    blocked.setdefault("openvino_telemetry", None)  # OpenVINO expects that it may be missing
    try:
        import openvino
    except ImportError as error:
        install = how_to_install("openvino")
        raise InputError(f"OpenVINO cannot be imported; give --engine onnxruntime, or {install}") from error
    return openvino


def _pieces(images: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    start = 0
    for size in SIZES:
        while start + size <= len(images):
            yield images[start : start + size]
            start += size
