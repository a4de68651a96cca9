"""A TensorFlow function as an ONNX graph, and as a function that onnxruntime computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import tf2onnx
from numpy.typing import NDArray

from pipeline.conversion.simplify import simplify
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.parallel import ordered_map
from pneumo_tfds.program.quiet import errors_only

OPSET = 18
BATCH = 4
"""Images in a batch. One batch on each core at a time is faster than all cores on one: EfficientNet-Lite0 at 192 x 192
takes 3.5 ms an image on two cores in batches of 4, 3.7 in batches of 16; with two threads on one batch of 16 or 64 it
takes 3.9 to 4.1."""
ERRORS_ONLY = 3  # onnxruntime's log severity


def to_graph(function: Any, signature: Sequence[Any]) -> onnx.ModelProto:
    """Convert a `tf.function` in float32 from tensors of `signature` to a dict of tensors: opset 18, dynamic batch.

    Raises:
        InputError: it has ops that cannot be converted.
    """
    try:
        with errors_only("tf2onnx"):
            graph, _ = tf2onnx.convert.from_function(function, input_signature=list(signature), opset=OPSET)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"tf2onnx cannot convert the model: {reason_of(error):.300}") from error
    simplify(graph)
    return graph


def by_onnxruntime(function: Any, signature: Any) -> Callable[[NDArray[Any]], dict[str, NDArray[np.float32]]]:
    """Return a function with the outputs of a `tf.function` of one tensor `[N, ...]`, N at least 1, on all cores.

    The outputs differ from TensorFlow's by rounding alone: logits of EfficientNet-Lite0 by up to 1e-5.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    graph = to_graph(function, [signature]).SerializeToString()
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    (given,), names = session.get_inputs(), [output.name for output in session.get_outputs()]

    def answer(images: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        parts = ordered_map(lambda batch: session.run(names, {given.name: batch}), batches)
        return dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))

    return answer
