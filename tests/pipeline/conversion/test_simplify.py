"""Rewrites of the graph: the same answers, plainer or more exact."""

from collections import Counter

import keras
import numpy as np
import onnx
import onnxruntime

from export.graph import convert
from pipeline.conversion import simplify

FLOAT = onnx.TensorProto.FLOAT


def model_of(nodes, constants, inputs, outputs):
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [onnx.helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [onnx.helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)


def run(model, name, value):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {name: value})[0]


def mean_model(keepdims=1):
    node = onnx.helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=keepdims)
    shape = ["N", 1, 1, 1] if keepdims else ["N"]
    return model_of([node], {"axes": np.array([1, 2, 3])}, [("x", FLOAT, ["N", 128, 128, 1])], [("y", shape)])


def test_split_mean_is_closer_to_the_true_mean():
    values = np.full((1, 128, 128, 1), 16256.25, np.float32)  # the squares of a centred checkerboard
    whole, split = mean_model(), mean_model()
    simplify.split_means(split.graph)
    assert Counter(node.op_type for node in split.graph.node) == {"ReduceMean": 2}
    off = [abs(float(run(model, "x", values).item()) - 16256.25) for model in (whole, split)]
    assert off[1] < off[0] / 10


def test_means_that_drop_dimensions_are_left_alone():
    model = mean_model(keepdims=0)
    before = model.SerializeToString()
    simplify.split_means(model.graph)
    assert model.SerializeToString() == before


def test_dense_layer_on_a_map_has_constant_reshapes_after_export():
    image = keras.Input((16, 16, 1), dtype="uint8")
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same")(keras.layers.Rescaling(1.0)(image))
    dense = keras.layers.Dense(1, bias_initializer=keras.initializers.Constant(0.3))
    heat = keras.layers.Reshape((4, 4))(dense(x))
    logit = keras.layers.GlobalAveragePooling2D()(keras.layers.Reshape((4, 4, 1))(heat))
    model = keras.Model(image, {"probability": keras.layers.Activation("sigmoid")(logit), "heatmap": heat})
    proto = convert.to_onnx(model, {})
    ops = Counter(node.op_type for node in proto.graph.node)
    assert not ops.keys() & {"Shape", "Gather", "ReduceProd", "Unsqueeze", "Concat"}
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), dtype=np.uint8)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    found = session.run(["heatmap"], {"image": images})[0]
    np.testing.assert_allclose(found, convert.reference(model)(images)["heatmap"], atol=1e-4)
