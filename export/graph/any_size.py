"""The float32 file with its preprocessing inside: pictures of any size in, the same outputs.

Grey conversion, framing and resize of `pneumo_tfds.decode` in standard operators, before the network. A JPEG is first
averaged over blocks, because `pneumo_tfds.decode` has libjpeg decode it at 1/2, 1/4 or 1/8, and libjpeg's reduced
inverse DCT computes the means of blocks. Then a picture is multiplied from both sides with matrices of area or linear
weights. They are computed in whole numbers, so that no position is rounded.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from export.graph.canonical import BATCH, check
from export.graph.convert import INPUT
from export.inference.picture_input import JPEG, of_any_size_file
from pneumo_tfds.program.framing_names import Framing

SQUARE = "square"
GREY = np.array([1, 9798 / 32768, 19235 / 32768, 3735 / 32768], np.float32)
"""Weights of a grey picture, and of red, green and blue: ITU-R BT.601 in 15 bits, as in OpenCV."""
REDUCED = np.array([1, 1, 2, 2, 4, 4, 4, 4, 8])
"""By how much a JPEG is reduced that is larger than the square i times: entry i, the last for all larger ones."""
PREFIX = "picture_"

Operand = str | int | npt.NDArray[Any]


class _Graph:
    """Nodes and constants of a graph; calling it adds a node and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def __call__(self, kind: str, *operands: Operand, **attributes: Any) -> str:
        """Add a node. Operands are names, or constants: int64 scalars, or arrays."""
        inputs = [each if isinstance(each, str) else self._constant(np.asarray(each)) for each in operands]
        name = f"{PREFIX}{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def _constant(self, value: npt.NDArray[Any]) -> str:
        name = f"{PREFIX}{value.dtype}_{'_'.join(map(str, value.shape))}of_{'_'.join(map(str, value.ravel()))}"
        self.constants[name] = numpy_helper.from_array(value, name)
        return name

    def vector(self, *sizes: Operand) -> str:
        """Return scalars joined to int64 `[n]`."""
        return self("Concat", *(self("Reshape", size, np.array([1])) for size in sizes), axis=0)

    def as_float(self, value: str) -> str:
        """Return a value in float32."""
        return self("Cast", value, to=TensorProto.FLOAT)


def to_any_size(model: onnx.ModelProto, side: int, framing: Framing, parent_sha256: str = "") -> onnx.ModelProto:
    """Return a checked copy of a float32 file of `export.graph.convert` that takes pictures of any size.

    Its inputs are `image` uint8 `[N, H, W, C]`, grey (C = 1) or RGB (C = 3), and `jpeg` bool `[1]`, whether that was
    decoded from a JPEG at its full size.
    """
    inner = copy.deepcopy(model)
    for node in inner.graph.node:
        node.input[:] = [SQUARE if name == INPUT else name for name in node.input]
    inner.graph.input[0].name = SQUARE
    merged = compose.merge_models(
        preprocessing(side, framing), inner, io_map=[(SQUARE, SQUARE)], producer_name="pneumo"
    )
    props = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(merged, dict(sorted(of_any_size_file(props, parent_sha256).items())))
    del merged.opset_import[1:]  # the same one, named by both parts
    check(merged)
    return merged


def preprocessing(side: int, framing: Framing) -> onnx.ModelProto:
    """Return the part before the network as a model: inputs as of `to_any_size`, output uint8 `[N, side, side, 1]`."""
    g = _Graph()
    count, height, width, channels = (g("Gather", g("Shape", INPUT), axis) for axis in range(4))
    blocks, down, across = _reduced(g, _grey(g, channels), (count, height, width), side, framing)
    longer, shorter = g("Max", down, across), g("Min", down, across)
    boxes = [_box(g, length, longer, shorter, side=side, framing=framing) for length in (down, across)]
    enlarged = g("Or", *(g("Less", box.length, box.size) for box in boxes))
    rows, columns = (
        _weights(g, length, side, box=box, enlarged=enlarged) for length, box in zip((down, across), boxes, strict=True)
    )
    small = g("MatMul", rows, g("MatMul", blocks, g("Transpose", columns, perm=[1, 0])))
    levels = g("Cast", g("Round", small), to=TensorProto.UINT8)
    g.nodes.append(helper.make_node("Unsqueeze", [levels, g._constant(np.array([-1]))], [SQUARE], PREFIX + SQUARE))
    inputs = [
        helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [BATCH, "height", "width", "channels"]),
        helper.make_tensor_value_info(JPEG, TensorProto.BOOL, [1]),
    ]
    output = helper.make_tensor_value_info(SQUARE, TensorProto.UINT8, [BATCH, side, side, 1])
    graph = helper.make_graph(g.nodes, "preprocessing", inputs, [output], list(g.constants.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _grey(g: _Graph, channels: str) -> str:
    """Return grey levels, float32 `[N, H, W]`. With neither one channel nor three, the product fails."""
    colour = g("Min", g("Sub", channels, 1), 1)
    weights = g("Slice", GREY, g.vector(colour), g.vector(g("Add", g("Mul", colour, 3), 1)))
    pixels = g("Reshape", g.as_float(INPUT), g.vector(-1, channels))
    return g(
        "Reshape",
        g("Round", g("MatMul", pixels, g("Unsqueeze", weights, np.array([1])))),
        g("Slice", g("Shape", INPUT), np.array([0]), np.array([3])),
    )


def _reduced(g: _Graph, grey: str, shape: tuple[str, str, str], side: int, framing: Framing) -> tuple[str, str, str]:
    """Return the means of the blocks of a JPEG, or a picture as it is, with height and width."""
    count, height, width = shape
    cover = g("Max" if framing == "pad" else "Min", height, width)  # `pneumo_tfds.decode.framing.covering_side`
    larger = g("Where", JPEG, g("Min", g("Div", cover, side), len(REDUCED) - 1), 0)
    k = g("Gather", REDUCED, g("Squeeze", larger))
    down, across = (g("Div", g("Add", length, g("Sub", k, 1)), k) for length in (height, width))
    full_height, full_width = (g("Mul", length, k) for length in (down, across))
    pads = [g("Sub", full, length) for full, length in ((full_height, height), (full_width, width))]
    whole = g("Pad", grey, g.vector(0, 0, 0, 0, *pads), mode="edge")  # as a JPEG encoder fills its last blocks
    last = np.array([1])
    rows = g("ReduceSum", g("Reshape", whole, g.vector(-1, k, full_width)), last, keepdims=0)
    sums = g("ReduceSum", g("Reshape", rows, g.vector(-1, k)), last, keepdims=0)
    means = g("Div", sums, g.as_float(g("Mul", k, k)))
    levels = g("Floor", g("Add", means, np.array(0.5, np.float32)))
    return g("Reshape", levels, g.vector(count, down, across)), down, across


class _Box(NamedTuple):
    """The part of an axis that is taken, and what it becomes in the square.

    As `source_box` and `target_box` of `pneumo_tfds.decode.framing`.
    """

    start: Operand
    length: Operand
    at: Operand
    """Where it begins in the square."""
    size: Operand
    """Its length in the square."""


def _box(g: _Graph, length: str, longer: str, shorter: str, *, side: int, framing: Framing) -> _Box:
    """Return which part of an axis of this length is taken, by the longer and the shorter axis of the picture."""
    if framing == "crop":
        return _Box(g("Div", g("Sub", length, shorter), 2), shorter, 0, side)
    if framing == "squeeze":
        return _Box(0, length, 0, side)
    scaled = g("Div", g("Add", g("Mul", length, 2 * side), longer), g("Mul", longer, 2))
    size = g("Max", scaled, 1)
    return _Box(0, length, g("Div", g("Sub", side, size), 2), size)


def _weights(g: _Graph, length: str, side: int, *, box: _Box, enlarged: str) -> str:
    """Return the weight of each of `length` pixels in each of `side`, float32 `[side, length]`.

    It is the part of the target pixel that the source pixel covers, counted in units of 1 / size source pixels; or the
    nearness of the source pixel to the centre of the target pixel, in units of half of that.
    """
    size = box.size
    target = g("Sub", np.arange(side)[:, np.newaxis], box.at)
    source = g("Sub", g("Range", 0, length, 1), box.start)
    low, left = g("Mul", target, box.length), g("Mul", source, size)
    high, right = g("Add", low, box.length), g("Add", left, size)
    overlap = g("Max", g("Sub", g("Min", right, high), g("Max", left, low)), 0)
    area = g("Div", g.as_float(overlap), g.as_float(g("Identity", box.length)))

    unit = g("Mul", size, 2)
    middle = g("Sub", g("Add", low, high), size)
    centre = g("Min", g("Max", middle, 0), g("Mul", unit, g("Sub", box.length, 1)))
    near = g("Max", g("Sub", unit, g("Abs", g("Sub", centre, g("Mul", unit, source)))), 0)
    inside = g("And", g("GreaterOrEqual", target, 0), g("Less", target, size))
    linear = g("Div", g.as_float(g("Where", inside, near, 0)), g.as_float(unit))
    return g("Where", enlarged, linear, area)
