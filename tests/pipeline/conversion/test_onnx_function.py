"""Conversion of a TensorFlow function to ONNX."""

import os

import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf2onnx

from pipeline.conversion.onnx_function import WITHOUT_COPIES, by_onnxruntime, to_graph

SIGNATURE = tf.TensorSpec((None, 3), tf.float32)


@tf.function
def doubled(values):
    return {"doubled": 2 * values}


@pytest.mark.parametrize("given", [None, "TRUE"])
def test_graph_is_copied_before_no_pass_and_the_variable_is_as_before(monkeypatch, given):
    monkeypatch.delenv(WITHOUT_COPIES, raising=False)
    if given:
        monkeypatch.setenv(WITHOUT_COPIES, given)
    seen = []

    def optimize(graph, catch_errors, optimizers=None):
        seen.append(catch_errors)
        return graph

    monkeypatch.setattr(tf2onnx.convert.optimizer, "optimize_graph", optimize)
    assert isinstance(to_graph(doubled, [SIGNATURE]), onnx.ModelProto)
    assert seen == [False]
    assert os.environ.get(WITHOUT_COPIES) == given


def test_passes_meet_nodes_in_an_order_that_does_not_depend_on_hashes(monkeypatch):
    @tf.function
    def many(values):
        return {"sum": tf.add_n([values * number for number in range(2, 32)])}

    met = []

    def optimize(graph, catch_errors, optimizers=None):
        users = graph.find_output_consumers(graph.input_names[0])
        met.append([graph.get_nodes().index(node) for node in users])
        return graph

    monkeypatch.setattr(tf2onnx.convert.optimizer, "optimize_graph", optimize)
    to_graph(many, [SIGNATURE])
    assert len(met[0]) == 30
    assert met[0] == sorted(met[0])
    assert not hasattr(tf2onnx.graph, "set")


@pytest.fixture
def failing(monkeypatch):
    """Let tf2onnx begin with a pass that raises an error."""

    def with_error(error):
        class Failing:
            def optimize(self, graph, iteration):
                raise error

        passes = {"failing": Failing, **tf2onnx.optimizer._get_optimizers()}
        monkeypatch.setattr(tf2onnx.optimizer, "_get_optimizers", lambda: passes)

    monkeypatch.delenv(WITHOUT_COPIES, raising=False)
    return with_error


def test_pass_that_fails_is_left_out(failing, capsys):
    failing(KeyError("a node"))
    values = np.ones((5, 3), np.float32)
    np.testing.assert_array_equal(by_onnxruntime(doubled, SIGNATURE)(values)["doubled"], 2 * values)
    assert "note: an optimizing pass of tf2onnx failed and is left out: " in capsys.readouterr().err
    assert WITHOUT_COPIES not in os.environ


def test_pass_that_gets_no_memory_ends_the_conversion_and_does_not_change_the_file(failing):
    failing(MemoryError())
    with pytest.raises(MemoryError):
        to_graph(doubled, [SIGNATURE])
    assert WITHOUT_COPIES not in os.environ
