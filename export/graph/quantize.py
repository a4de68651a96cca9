"""Smaller files made from the float32 one: in float16, or in int8 by static quantization."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.graph.canonical import canonical
from export.graph.convert import INPUT
from export.inference.onnx_metadata import of_smaller_file
from pneumo_tfds.program.files import sha256_of
from pneumo_tfds.program.quiet import errors_only

CALIBRATION_BATCH = 16


class CalibrationBatches(CalibrationDataReader):  # type: ignore[misc]
    """Calibration images, uint8 [n, S, S, 1], in batches."""

    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        starts = range(0, len(images), CALIBRATION_BATCH)
        self.batches = iter([{INPUT: images[start : start + CALIBRATION_BATCH]} for start in starts])

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        """Return the next batch by input name, or None at the end."""
        return next(self.batches, None)


def to_fp16(source: Path) -> onnx.ModelProto:
    """Convert to float16 from the first convolution to the last; scaling, calibration and sigmoid stay in float32.

    Meant for GPUs: onnxruntime's CPU kernels compute most of it in float32 and lose time with conversions.
    """
    model = onnx.load(source)
    head, tail = _outside_convolutions(model.graph)
    converted = convert_float_to_float16(
        model, keep_io_types=True, disable_shape_infer=False, node_block_list=sorted(head | tail)
    )
    return canonical(converted, [output.name for output in model.graph.output], _props(model, source))


def to_int8(
    source: Path, images: npt.NDArray[np.uint8], *, float32_convolutions: int = 1, heatmap: bool = True
) -> onnx.ModelProto:
    """Quantize the convolutions to 8 bits: QDQ form, weights per channel, value ranges from `images`.

    The first convolutions stay in float32, because rounding early costs most of the accuracy that int8 costs. On real
    X-rays (`compact`, 128 x 128, 852 validation images) 11 decisions changed with all convolutions in int8, 4 with the
    first in float32 (13 % slower), and 1 with the first four in float32 (stem and first block; 27 % slower).
    With the default network (192 x 192, the same 852) 39 of the four answers changed with the first in float32 and 18
    with the first four when 128 images set the ranges, 27 and 13 to 16 when 512 did. More convolutions in float32 (7 or
    10, or the last two too), only convolutions in int8, percentiles and symmetric ranges were within chance of that (12
    to 18); 7 bits for the weights were worse (26). Depthwise convolutions in float32 gave 9, as slow as float32.

    Args:
        source: the float32 file.
        images: training images, uint8 [n, S, S, 1]; validation and test images must not set the ranges.
        float32_convolutions: number of convolutions that stay in float32, from the first on; the last is always int8.
        heatmap: keep the heat map among the outputs, if there is one.
    """
    original = onnx.load(source)
    with tempfile.TemporaryDirectory() as folder, errors_only(""):  # onnxruntime's quantization logs to the root logger
        prepared, quantized = Path(folder, "prepared.onnx"), Path(folder, "int8.onnx")
        # Symbolic shape inference needs sympy; our graphs have full shapes already.
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantized),
            CalibrationBatches(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add", "AveragePool", "MaxPool", "Concat", "Relu"],
            nodes_to_exclude=_excluded(onnx.load(prepared).graph, float32_convolutions),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # Ranges are the mean over batches of each batch's extremes, so that one odd image does not stretch them. On
            # trained networks this changed fewer decisions than plain extremes or percentiles, and it is fast.
            extra_options={"CalibMovingAverage": True},
        )
        model = onnx.load(quantized)
    outputs = [output.name for output in original.graph.output if heatmap or output.name != "heatmap"]
    return canonical(model, outputs, _props(original, source))


def _props(model: onnx.ModelProto, source: Path) -> dict[str, str]:
    props = {entry.key: entry.value for entry in model.metadata_props}
    return of_smaller_file(props, sha256_of(source))


def _excluded(graph: onnx.GraphProto, float32_convolutions: int) -> list[str]:
    """Return the nodes not to quantize: the first convolutions, and those before or after all convolutions.

    The latter find the lungs, scale the image and compute the familiarity, with sums that need more bits.
    """
    head, tail = _outside_convolutions(graph)
    convolutions = [node.name for node in graph.node if node.op_type == "Conv" and node.name not in head]
    return sorted({*convolutions[:-1][:float32_convolutions]} | head | tail)


def _outside_convolutions(graph: onnx.GraphProto) -> tuple[set[str], set[str]]:
    """Return the names of the nodes before any convolution of a classifier, and of those after every one."""
    classifying = {node.name for node in graph.node if node.op_type == "Conv"} - _finding_lungs(graph)
    forward = [(node, node.input, node.output) for node in graph.node]  # in topological order, as ONNX demands
    backward = [(node, outputs, inputs) for node, inputs, outputs in reversed(forward)]
    return _not_reached(forward, classifying), _not_reached(backward, classifying)


def _finding_lungs(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the nodes that lead to a product of two computed tensors before a convolution: to a crop."""
    constants = {constant.name for constant in graph.initializer}
    convolved, cropped, names = set[str](), set[str](), set[str]()
    for node in reversed(graph.node):
        before = not convolved.isdisjoint(node.output)
        if before or node.op_type == "Conv":
            convolved.update(node.input)
        product = node.op_type == "MatMul" and constants.isdisjoint(node.input)
        if (product and before) or not cropped.isdisjoint(node.output):
            cropped.update(node.input)
            names.add(node.name)
    return names


def _not_reached(
    steps: Iterable[tuple[onnx.NodeProto, Iterable[str], Iterable[str]]], convolutions: set[str]
) -> set[str]:
    """Return the names of the nodes to which no path leads from any of the convolutions.

    A step is a node, the tensors that lead to it, and those that lead on from it.
    """
    tensors, names = set[str](), set[str]()
    for node, sources, targets in steps:
        if node.name in convolutions or not tensors.isdisjoint(sources):
            tensors.update(filter(None, targets))
        else:
            names.add(node.name)
    return names
