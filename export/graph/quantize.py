"""Smaller files from the float32 one: float16 weights and arithmetic, or int8 by static quantization."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from export.graph.canonical import canonical
from export.graph.convert import INPUT

CALIBRATION_BATCH = 16


def to_fp16(source: Path) -> onnx.ModelProto:
    """The model in float16 from the first convolution to the last; scaling, calibration and sigmoid stay float32.

    Meant for GPUs; onnxruntime's CPU kernels compute most of it in float32 and lose time converting.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(source)
    head, tail = _outside_convolutions(model.graph)
    converted = convert_float_to_float16(
        model, keep_io_types=True, disable_shape_infer=False, node_block_list=sorted(head | tail)
    )
    return canonical(converted, [output.name for output in model.graph.output], _props(model))


def to_int8(source: Path, images: npt.NDArray[np.uint8], *, exact: int = 1) -> onnx.ModelProto:
    """The model with 8-bit convolutions: QDQ form, weights per channel, ranges from `images`.

    The first convolutions stay float32, because rounding early costs most of what int8 costs: on real X-rays
    (`compact`, 128 x 128, 852 validation images) 11 decisions flipped with all of them in int8, 4 with the first in
    float32 (13 % slower), 1 with the first four, which are its stem and first block (27 % slower).

    Args:
        source: the float32 file.
        images: training images, uint8 [n, S, S, 1]; validation and test must not set the ranges.
        exact: how many convolutions stay float32, of those the graph names first; one at least is made int8.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Feeds the calibration batches once."""

        def __init__(self) -> None:
            self.batches: Iterator[npt.NDArray[np.uint8]] = iter(
                [images[start : start + CALIBRATION_BATCH] for start in range(0, len(images), CALIBRATION_BATCH)]
            )

        def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    original = onnx.load(source)
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = Path(folder, "prepared.onnx"), Path(folder, "int8.onnx")
        # Symbolic shape inference would need sympy; our graphs have full shapes already.
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantized),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add", "AveragePool", "MaxPool", "Concat", "Relu"],
            nodes_to_exclude=_first_in_float32(onnx.load(prepared).graph, exact),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # Ranges are the mean over batches of each batch's extremes: one odd image does not stretch them. On trained
            # networks this flipped fewer decisions than plain extremes and percentiles, and calibrates in no time.
            extra_options={"CalibMovingAverage": True},
        )
        model = onnx.load(quantized)
    return canonical(model, [output.name for output in original.graph.output], _props(original))


def _props(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _first_in_float32(graph: onnx.GraphProto, exact: int) -> list[str]:
    """Names of the nodes that scale the image, whose sums need more than 8 bits, and of the first convolutions."""
    convolutions = [node.name for node in graph.node if node.op_type == "Conv"]
    return sorted({*convolutions[:-1][:exact]} | _outside_convolutions(graph)[0])


def _outside_convolutions(graph: onnx.GraphProto) -> tuple[set[str], set[str]]:
    """Names of the nodes that no convolution comes before, and of those that none comes after."""
    makers = {name: node for node in graph.node for name in node.output}
    downstream: dict[str, bool] = {}  # whether a convolution lies at or before a node
    for node in graph.node:  # ONNX nodes are in topological order
        before = (makers[name].name for name in node.input if name in makers)
        downstream[node.name] = node.op_type == "Conv" or any(downstream[name] for name in before)
    upstream = {node.name: False for node in graph.node}  # whether a convolution lies at or after a node
    for node in reversed(graph.node):
        upstream[node.name] = upstream[node.name] or node.op_type == "Conv"
        if upstream[node.name]:
            for name in node.input:
                if name in makers:
                    upstream[makers[name].name] = True
    return {name for name, found in downstream.items() if not found}, {
        name for name, found in upstream.items() if not found
    }
