"""Maps of awkward width: widened where that changes nothing, left alone elsewhere."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.graph.channels import BLOCK, widen


def convolution(name, source, target, into, out, group=1, seed=0):
    random = np.random.default_rng(seed)
    weights = numpy_helper.from_array(random.normal(size=(out, into // group, 3, 3)).astype(np.float32), f"{name}_w")
    bias = numpy_helper.from_array(random.normal(size=out).astype(np.float32), f"{name}_b")
    inputs = [source, f"{name}_w", f"{name}_b"]
    return helper.make_node("Conv", inputs, [target], name=name, pads=[1, 1, 1, 1], group=group), [weights, bias]


def model(*parts, outputs=("y",)):
    nodes, weights = [], []
    for part in parts:
        node, its = part if isinstance(part, tuple) else (part, [])
        nodes.append(node)
        weights += its
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", None, None, None]) for name in outputs]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 12, 12])
    graph = helper.make_graph(nodes, "g", [image], values, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def answers(proto):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.random.default_rng(1).normal(size=(2, 1, 12, 12)).astype(np.float32)})


def widths(proto):
    weights = {tensor.name: tuple(tensor.dims[:2]) for tensor in proto.graph.initializer}
    return {node.name: weights[node.input[1]] for node in proto.graph.node if node.op_type == "Conv"}


def check(proto, wanted):
    before = answers(proto)
    widen(proto.graph)
    onnx.checker.check_model(proto, full_check=True)
    assert widths(proto) == wanted
    for old, new in zip(before, answers(proto), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-4)


def test_a_residual_block_of_24_channels_is_computed_on_32():
    """The two branches that meet in an addition, the activation and the pooling after it: all of one width."""
    proto = model(
        convolution("stem", "x", "a", 1, 24),
        helper.make_node("Relu", ["a"], ["b"]),
        convolution("left", "b", "c", 24, 24, seed=1),
        helper.make_node("Add", ["c", "b"], ["d"]),
        helper.make_node("AveragePool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        convolution("last", "e", "y", 24, 8, seed=2),
    )
    check(proto, {"stem": (32, 1), "left": (32, 32), "last": (8, 32)})


def test_filters_of_single_channels_are_widened_with_their_map():
    clip = [numpy_helper.from_array(np.array(limit, np.float32), name) for limit, name in ((0, "low"), (6, "high"))]
    proto = model(
        convolution("expand", "x", "a", 1, 40),
        (helper.make_node("Clip", ["a", "low", "high"], ["b"]), clip),
        convolution("depthwise", "b", "c", 40, 40, group=40, seed=1),
        convolution("project", "c", "y", 40, 4, seed=2),
    )
    check(proto, {"expand": (48, 1), "depthwise": (48, 1), "project": (4, 48)})
    group = next(each.i for each in proto.graph.node[2].attribute if each.name == "group")
    assert group == 48


@pytest.mark.parametrize("width", [8, BLOCK, 2 * BLOCK])
def test_small_maps_and_whole_blocks_stay(width):
    proto = model(convolution("one", "x", "a", 1, width), convolution("two", "a", "y", width, 3, seed=1))
    check(proto, {"one": (width, 1), "two": (3, width)})


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "Sigmoid", "output"])
def test_maps_that_something_else_reads_stay(kind):
    """Zeros would be seen in an output, and a sigmoid makes one half of them."""
    parts = [convolution("one", "x", "a", 1, 24), convolution("two", "a", "y", 24, 3, seed=1)]
    outputs = ["y"]
    if kind != "output":
        parts.append(helper.make_node(kind, ["a"], ["z"]))
    outputs.append("a" if kind == "output" else "z")
    check(model(*parts, outputs=outputs), {"one": (24, 1), "two": (3, 24)})


def test_a_map_that_is_added_to_every_channel_stays():
    proto = model(
        convolution("wide", "x", "a", 1, 24),
        convolution("single", "x", "b", 1, 1, seed=1),
        helper.make_node("Add", ["a", "b"], ["c"]),
        convolution("last", "c", "y", 24, 3, seed=2),
    )
    check(proto, {"wide": (24, 1), "single": (1, 1), "last": (3, 24)})


def test_a_clip_that_lifts_zero_stays():
    proto = model(
        convolution("one", "x", "a", 1, 24),
        (helper.make_node("Clip", ["a", "low"], ["b"]), [numpy_helper.from_array(np.array(1, np.float32), "low")]),
        convolution("two", "b", "y", 24, 3, seed=1),
    )
    check(proto, {"one": (24, 1), "two": (3, 24)})
