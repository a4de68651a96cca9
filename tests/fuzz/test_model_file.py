"""ONNX files and their metadata: a working classifier, or an error of one line that names the file."""

import functools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from export.inference.classifier import Classifier
from export.inference.onnx_metadata import KEYS, LARGEST_SIDE, Metadata, ModelFileError

onnx = pytest.importorskip("onnx")

SIDE = 8
VALID = Metadata(
    image_size=SIDE,
    threshold=0.4,
    threshold_rule="youden (chosen on validation)",
    dataset="pneumo_tfds/gray_8",
    dataset_version="1.0.0",
    metrics={"test": {"auroc": 0.9}},
    certain_normal_below=0.1,
    certain_pneumonia_from=0.9,
    familiarity_threshold=0.01,
    guarantee="NPV at least 0.95",
).to_props()
ODD = [
    "", "0", "-1", "1", "2", "1e999", "nan", "NaN", "null", "[]", "{}", "5", '"x"', "true", "[" * 5000, "9" * 5000,
    "\x1b[2J", "a\nb", "²", "१", '["NORMAL", "PNEUMONIA"]', '{"test": NaN}', "0.5", "8", "4096", "99999999999",
]  # fmt: skip


@st.composite
def props(draw):
    found = dict(VALID)
    for key in draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4)):
        match draw(st.integers(0, 4)):
            case 0:
                found.pop(key, None)
            case 1 | 2:
                found[key] = draw(st.sampled_from(ODD))
            case 3:
                found[key] = draw(st.text(max_size=12))
            case _:
                found[draw(st.text(max_size=8))] = draw(st.text(max_size=8))
    return found


@given(props=props())
@example(props=VALID | {"classes": "5"})
@example(props=VALID | {"version": "9" * 5000})
@example(props=VALID | {"metrics": '{"a": ' * 5000})
@example(props=VALID | {"classes": "[" * 100_000})
@example(props=VALID | {"intended_use": "for all\x1b[2J"})
@example(props=VALID | {"reference": '{"test": NaN}'})
@example(props=VALID | {"recalibrated": '[{"rule": Infinity}]'})
@example(props=VALID | {"pretrained_weights": '{"name": -Infinity}'})
@example(props=VALID | {"golden_tolerance": '{"probability": NaN}'})
def test_metadata(props, input_error_only):
    with input_error_only("m.onnx"):
        found = Metadata.from_props(props, "m.onnx")
        assert 0 <= found.threshold <= 1
        assert 1 <= found.image_size <= LARGEST_SIDE
        assert all(text.isprintable() for text in found.to_props().values())
        assert 0 <= found.limits.certain_normal_below <= found.limits.certain_pneumonia_from <= 1
        json.dumps(found.metrics, allow_nan=False)


@functools.cache
def model():
    """A file that answers with the mean grey level."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["probability"]),
    ]
    return with_nodes(nodes, axes=[1, 2], white=255)


def with_nodes(nodes, axes, white):
    """A file whose nodes make `probability` of `image`, and perhaps of these."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 1])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(np.array(axes), "axes"), numpy_helper.from_array(np.float32(white), "white")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(made, VALID | {"familiarity_threshold": ""})
    return made.SerializeToString()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("model") / "m.onnx"


def check(path):
    classifier = Classifier(path, threads=1)
    found = classifier.predict_batch(np.zeros((2, SIDE, SIDE, 1), np.uint8))
    assert len(found["probability"]) == 2


def test_the_original_is_valid(file):
    file.write_bytes(model())
    check(file)


def test_a_network_that_fails_only_when_it_is_asked_is_one_line_and_memory_is_another(file, monkeypatch):
    """Found by 10,000 cases: shapes that do not fit are found by onnxruntime as it runs, as `Fail`."""
    from onnx import helper

    nodes = [
        helper.make_node("NonZero", ["image"], ["places"]),  # how many is not known before
        helper.make_node("Cast", ["places"], ["float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Div", ["float", "white"], ["ratio"]),
        helper.make_node("ReduceMean", ["ratio", "axes"], ["probability"], keepdims=1),
    ]
    file.write_bytes(with_nodes(nodes, axes=[0, 1], white=np.ones((4, 5))))
    with pytest.raises(ModelFileError, match=r"m\.onnx cannot be run \(.* FAIL .*; export the run again"):
        check(file)
    file.write_bytes(model())
    classifier = Classifier(file, threads=1)

    def refuse(*_):
        raise ort_errors.RuntimeException("Failed to allocate memory for requested buffer")

    monkeypatch.setattr(classifier, "session", SimpleNamespace(run=refuse))
    with pytest.raises(ort_errors.RuntimeException, match="allocate"):
        classifier.predict_batch(np.zeros((1, SIDE, SIDE, 1), np.uint8))


@given(data=st.data())
def test_file_bytes(data, file, mutated, input_error_only):
    file.write_bytes(data.draw(mutated([model()], most=3)))
    with input_error_only("m.onnx"):
        check(file)


def test_weights_outside_the_folder_are_not_read(file):
    """ONNX may keep weights in other files; a stranger's model must not name one of ours."""
    secret = file.parent.with_name("secret")
    secret.write_bytes(b"\0\0\x7f\x43")
    for location in (str(secret), "../secret"):
        made = onnx.load_from_string(model())
        white = made.graph.initializer[1]
        white.ClearField("raw_data")
        white.data_location = onnx.TensorProto.EXTERNAL
        white.external_data.add(key="location", value=location)
        file.write_bytes(made.SerializeToString())
        with pytest.raises(ModelFileError, match=r"m\.onnx is not a readable ONNX file"):
            check(file)
