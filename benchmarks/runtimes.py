"""The ways to answer images with one network: each loads a file and takes and returns NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.measuring.harness import CannotRunError

FILES = {"float32": "model.onnx", "float16": "model.fp16.onnx", "int8": "model.int8.onnx"}

EXACT, ROUNDED = 1e-3, 0.25
"""Largest differences of a probability, in float32 and in fewer bits. The logits have mean 0 and deviation 1."""

Images = npt.NDArray[np.uint8]
Answer = Callable[[Images], Any]
"""From uint8 `[N, S, S, 1]` to N probabilities, of any shape."""


def _keras(path: Path) -> Any:
    from pipeline.run_folder.model_file import load_model

    return load_model(path)


def _predict(path: Path, threads: int) -> Answer:
    model = _keras(path)
    return lambda batch: model.predict(batch, batch_size=len(batch), verbose=0)["probability"]


def _call(path: Path, threads: int) -> Answer:
    model = _keras(path)
    return lambda batch: model(batch, training=False)["probability"].numpy()


def _function(path: Path, threads: int, *, xla: bool) -> Answer:
    import tensorflow as tf

    model = _keras(path)
    compiled = tf.function(lambda batch: model(batch, training=False), jit_compile=xla)
    return lambda batch: compiled(tf.constant(batch))["probability"].numpy()


def _saved_model(path: Path, threads: int) -> Answer:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda batch: loaded.serve(tf.constant(batch))["probability"].numpy()


def tf_lite(path: Path, threads: int) -> Answer:
    """Return TF-Lite's interpreter of a file; raises `CannotRunError` if this TensorFlow has no TF-Lite."""
    import tensorflow as tf

    return _interpreted(lambda: tf.lite.Interpreter, path, threads)


def lite_rt(path: Path, threads: int) -> Answer:
    """Return the same of LiteRT, TF-Lite's successor. Its newer `CompiledModel` fails on two outputs of any batch."""

    def interpreter() -> Any:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter

    return _interpreted(interpreter, path, threads)


def _interpreted(interpreter: Callable[[], Any], path: Path, threads: int) -> Answer:
    if not path.is_file():
        raise CannotRunError("this TensorFlow has no TF-Lite, which converts the network")
    runner = interpreter()(str(path), num_threads=threads).get_signature_runner()
    (name,) = runner.get_input_details()
    return lambda batch: runner(**{name: batch})["probability"]


def open_vino(path: Path, threads: int, *, precision: str = "f32") -> Answer:
    """Return OpenVINO's network of an ONNX file, compiled for each shape: for any shape it takes 1.5 times as long.

    Raises:
        CannotRunError: the CPU has no instructions of this precision.
    """
    from export.inference.openvino_session import import_openvino

    core = import_openvino().Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise CannotRunError("this CPU has no bfloat16 instructions")
    settings = {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }  # fmt: skip

    @cache
    def compiled(shape: tuple[int, ...]) -> tuple[Any, Any]:
        network = core.read_model(path)
        network.reshape(list(shape))
        ready = core.compile_model(network, "CPU", settings)
        return ready.create_infer_request(), ready.output("probability")

    def answer(batch: Images) -> Any:
        request, output = compiled(batch.shape)
        request.get_input_tensor().data[:] = batch  # faster than sharing it
        return request.infer()[output]

    return answer


def _ours(path: Path, threads: int) -> Answer:
    from export.inference.classifier import Classifier

    classifier = Classifier(path, threads=threads)
    return lambda batch: classifier.predict_batch(batch)["probability"]


class Runtime(NamedTuple):
    """One way to answer."""

    load: Callable[[Path, int], Answer]
    """Loads the file for a number of threads."""
    file: str
    needs: tuple[str, ...] = ()
    """Modules that must be installed."""
    tolerance: float = EXACT


BASE = "ours: onnxruntime float32"
RUNTIMES = {
    "peer: Keras model.predict": Runtime(_predict, "model.keras"),
    "peer: Keras model(x)": Runtime(_call, "model.keras"),
    "peer: Keras in tf.function": Runtime(partial(_function, xla=False), "model.keras"),
    "peer: Keras in tf.function, XLA": Runtime(partial(_function, xla=True), "model.keras"),
    "peer: SavedModel": Runtime(_saved_model, "saved_model"),
    "peer: TF-Lite": Runtime(tf_lite, "model.tflite"),
    "peer: LiteRT": Runtime(lite_rt, "model.tflite", ("ai_edge_litert",)),
    "peer: OpenVINO float32": Runtime(open_vino, FILES["float32"], ("openvino",)),
    "peer: OpenVINO bfloat16": Runtime(partial(open_vino, precision="bf16"), FILES["float32"], ("openvino",), ROUNDED),
    "peer: OpenVINO int8": Runtime(open_vino, FILES["int8"], ("openvino",), ROUNDED),
    BASE: Runtime(_ours, FILES["float32"]),
    "ours: onnxruntime float16": Runtime(_ours, FILES["float16"], (), ROUNDED),
    "ours: onnxruntime int8": Runtime(_ours, FILES["int8"], (), ROUNDED),
}

BASE_OF_GIVEN = "ours: onnxruntime"


def runtimes_of_given(file: str) -> dict[str, Runtime]:
    """Return the runtimes of an ONNX file of the user's, in whatever precision it is."""
    peer = Runtime(open_vino, file, ("openvino",), ROUNDED)  # its int8 kernels round otherwise
    return {"peer: OpenVINO": peer, BASE_OF_GIVEN: Runtime(_ours, file)}
