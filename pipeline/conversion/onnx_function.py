"""A TensorFlow function as an ONNX graph, and as a function that onnxruntime computes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import tf2onnx
from numpy.typing import NDArray

from pipeline.conversion.ordered_sets import ordered_sets
from pipeline.conversion.simplify import ERRORS_ONLY, simplify
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.parallel import ordered_map
from pneumo_tfds.program.quiet import errors_only

OPSET = 18
BATCH = 4
"""Images in a batch. One batch on each core at a time is faster than all cores on one: EfficientNet-Lite0 at 192 x 192
takes 3.5 ms an image on two cores in batches of 4, 3.7 in batches of 16; with two threads on one batch of 16 or 64 it
takes 3.9 to 4.1."""
WITHOUT_COPIES = "TF2ONNX_CATCH_ERRORS"
"""A variable of tf2onnx. Unless it is set, to any value, each of some 36 optimizing passes begins with a copy of the
graph, which is kept if the pass fails; the copies take a third of a conversion."""
OF_A_PASS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a pass may raise; a MemoryError ends the conversion."""


class UnknownOpError(InputError):
    """Raised for a function with an op that ONNX does not know, or with a branch or loop, which is not exported."""

    def __init__(self, kind: str, place: str) -> None:
        super().__init__(f"{place} computes {kind}, which is not in an ONNX file; use other operations")
        self.kind, self.place = kind, place


def to_graph(function: Any, signature: Sequence[Any]) -> onnx.ModelProto:
    """Convert a `tf.function` in float32 from tensors of `signature` to a dict of tensors: opset 18, dynamic batch.

    Raises:
        InputError: it has ops that cannot be converted.
        UnknownOpError: it has an op that ONNX does not know, or a branch or loop.
    """
    try:
        with ordered_sets(), errors_only("tf2onnx", logging.CRITICAL):  # which names unknown ops, as this function does
            graph = _convert(function, signature)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"tf2onnx cannot convert the model: {reason_of(error):.300}") from error
    for node in graph.graph.node:
        known = node.domain or onnx.defs.has(node.op_type, max_inclusive_version=OPSET)
        if not known or any(attribute.HasField("g") for attribute in node.attribute):
            raise UnknownOpError(node.op_type, node.name)
    _fill_captured(graph.graph, function.get_concrete_function(*signature))
    simplify(graph)
    return graph


def _convert(function: Any, signature: Sequence[Any]) -> onnx.ModelProto:
    """Convert without copies; if a pass fails, convert again with them, so that it is left out, and say so."""
    attempt = partial(tf2onnx.convert.from_function, function, input_signature=list(signature), opset=OPSET)
    if WITHOUT_COPIES in os.environ:
        return attempt()[0]
    os.environ[WITHOUT_COPIES] = "FALSE"
    try:
        return attempt()[0]
    except OF_A_PASS as error:
        del os.environ[WITHOUT_COPIES]
        graph = attempt()[0]  # raises once more if it was not a pass that failed
        print(f"note: an optimizing pass of tf2onnx failed and is left out: {reason_of(error):.200}", file=sys.stderr)
        return graph
    finally:
        os.environ.pop(WITHOUT_COPIES, None)


def _fill_captured(graph: onnx.GraphProto, function: Any) -> None:
    """Make constants of the inputs that tf2onnx adds for constants of a layer, such as the mean of a Normalization."""
    captured = {placeholder.name: tensor for tensor, placeholder in function.graph.captures}
    for value in [each for each in graph.input if each.name in captured]:
        graph.input.remove(value)
        graph.initializer.append(onnx.numpy_helper.from_array(captured[value.name].numpy(), value.name))


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
