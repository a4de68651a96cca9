"""Conversion of a Keras inference model to ONNX: opset 18, dynamic batch. Runs save their models in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from export.graph.canonical import canonical
from export.inference.classifier import OUTPUTS
from pipeline.conversion.onnx_function import to_graph
from pipeline.run_folder.model_file import load_model
from pneumo_tfds.program.errors import InputError

INPUT = "image"


def load_keras(path: Path) -> Any:
    """Load a run's inference model onto the CPU, safely: nothing in the file is run as code.

    Raises:
        InputError: the file is missing, damaged, or holds a Lambda layer or anything else that safe loading refuses.
    """
    with tf.device("CPU:0"):
        return load_model(path)


def image_side(model: Any) -> int:
    """Return the side S of the model's input, once its input and outputs have been checked.

    Raises:
        InputError: the input is not [N, S, S, 1], or no output is named probability.
    """
    shape = tuple(getattr(model, "input_shape", ()))
    if len(shape) != 4 or shape[3] != 1 or shape[1] is None or shape[1] != shape[2]:
        raise InputError(f"the model takes {shape}, not [N, S, S, 1] grey images of a fixed size S; export another run")
    if not isinstance(model.output, Mapping) or "probability" not in model.output:
        raise InputError("the model has no output named probability; export the inference model (model.keras of a run)")
    return int(shape[1])


def output_names(model: Any) -> tuple[str, ...]:
    """Return which of `OUTPUTS` the model has, in the order of the ONNX file."""
    return tuple(name for name in OUTPUTS if name in model.output)


def _outputs(model: Any, images: Any) -> dict[str, Any]:
    outputs = model(images, training=False)
    return {name: outputs[name] for name in output_names(model)}


def reference(model: Any) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return a function from uint8 images [N, S, S, 1] to Keras's outputs by name, in float32 on the CPU.

    On the CPU, because a GPU may multiply in TensorFloat-32, which differs from float32 in the fourth digit.
    """
    call = tf.function(lambda images: _outputs(model, images), reduce_retracing=True)

    def answer(images: np.ndarray) -> dict[str, np.ndarray]:
        with tf.device("CPU:0"):
            return {name: value.numpy() for name, value in call(tf.constant(images)).items()}

    return answer


def to_onnx(model: Any, props: Mapping[str, str]) -> onnx.ModelProto:
    """Convert a float32 inference model.

    Args:
        model: takes `[N, S, S, 1]`, returns a dict with `probability` float32 `[N, 1]` and those of the other `OUTPUTS`
            that it has.
        props: metadata to write into the file.

    Returns:
        A checked ONNX model in canonical form: equal weights give equal bytes.

    Raises:
        InputError: the model has other inputs or outputs, or ops that cannot be exported.
    """
    side = image_side(model)
    signature = [tf.TensorSpec((None, side, side, 1), tf.uint8, name=INPUT)]
    infer = tf.function(lambda image: _outputs(model, image), input_signature=signature)
    with tf.device("CPU:0"):
        graph = to_graph(infer, signature)
    return canonical(graph, output_names(model), props)
