"""The graph that is exported: contract, canonical form, float32 whatever the policy, refusals."""

from collections import Counter

import keras
import onnx
import onnxruntime
import pytest

from export.graph import canonical, convert
from pneumo_tfds.program.errors import InputError


def answer(proto, images):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": images}), strict=True))


def signature(values):
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in values
    }


def test_inputs_outputs_opset_and_dynamic_batch(tiny_model, pictures):
    proto = convert.to_onnx(tiny_model(), {"key": "value"})
    assert signature(proto.graph.input) == {"image": (onnx.TensorProto.UINT8, ["N", 48, 48, 1])}
    assert signature(proto.graph.output) == {
        "probability": (onnx.TensorProto.FLOAT, ["N", 1]),
        "heatmap": (onnx.TensorProto.FLOAT, ["N", 12, 12]),
    }
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 18)]
    assert {entry.key: entry.value for entry in proto.metadata_props} == {"key": "value"}
    for count in (1, 5):
        assert answer(proto, pictures(count))["heatmap"].shape == (count, 12, 12)


def test_no_training_ops_and_no_transposes_but_one(tiny_model):
    ops = Counter(node.op_type for node in convert.to_onnx(tiny_model(), {}).graph.node)
    assert ops["Transpose"] <= 1
    assert ops["Conv"] == 3
    assert not ops.keys() & (canonical.TRAINING_OPS | {"BatchNormalization"})


def test_model_without_heatmap_has_one_output(tiny_model, pictures):
    proto = convert.to_onnx(tiny_model(heatmap=False), {})
    assert list(answer(proto, pictures(2))) == ["probability"]


def test_equal_weights_give_equal_bytes_despite_other_names(tiny_model):
    first = convert.to_onnx(tiny_model(seed=5), {"b": "2", "a": "1"})
    for _ in range(3):
        keras.layers.Dense(1)  # advances Keras's counters of names
    second = convert.to_onnx(tiny_model(seed=5), {"a": "1", "b": "2"})
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    assert first != convert.to_onnx(tiny_model(seed=6), {"a": "1", "b": "2"})


def test_the_canonical_form_is_a_copy(tiny_model):
    model = convert.to_onnx(tiny_model(), {"key": "value"})
    before = model.SerializeToString(deterministic=True)
    again = canonical.canonical(model, ["probability"], {})
    assert [output.name for output in again.graph.output] == ["probability"]
    assert model.SerializeToString(deterministic=True) == before


def test_lambda_layer_is_refused(tmp_path):
    image = keras.Input((8, 8, 1))
    keras.Model(image, keras.layers.Lambda(lambda x: x + 1)(image)).save(tmp_path / "model.keras")
    with pytest.raises(InputError, match="Lambda layer"):
        convert.load_keras(tmp_path / "model.keras")


@pytest.mark.parametrize(("content", "reason"), [(None, "does not exist"), (b"not a zip", "cannot be loaded")])
def test_missing_or_damaged_keras_file(tmp_path, content, reason):
    path = tmp_path / "model.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        convert.load_keras(path)


def test_models_of_another_contract_are_refused():
    colour = keras.Input((8, 8, 3))
    with pytest.raises(InputError, match="not \\[N, S, S, 1\\]"):
        convert.image_side(keras.Model(colour, {"probability": colour}))
    grey = keras.Input((8, 8, 1))
    with pytest.raises(InputError, match="no output named probability"):
        convert.image_side(keras.Model(grey, keras.layers.Flatten()(grey)))


def test_graph_with_a_training_op_is_refused():
    node = onnx.helper.make_node("RandomUniformLike", ["x"], ["y"])
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 2]) for name in "xy"]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", value[:1], value[1:]), opset_imports=[onnx.helper.make_opsetid("", 18)]
    )
    with pytest.raises(canonical.GraphError, match="RandomUniformLike"):
        canonical.canonical(model, ["y"], {})


def test_missing_output_is_named(tiny_model):
    with pytest.raises(canonical.GraphError, match="no output nonsense, only probability, heatmap"):
        canonical.canonical(convert.to_onnx(tiny_model(), {}), ["nonsense"], {})
