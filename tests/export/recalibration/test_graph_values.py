"""The values of an exported graph are found, and replaced without a change of anything else."""

import numpy as np
import onnx
import pytest
from scipy.special import expit

from brightness_model import write_model
from export.inference.classifier import Classifier
from export.inference.onnx_metadata import ModelFileError
from export.recalibration.graph_values import CalibratedGraph
from export.recalibration.labelled_images import score
from pipeline.networks.familiarity_levels import levels_of, share_beyond


def rewritten(graph, place, *values):
    place.write_bytes(graph.with_values(*values, graph.props))
    return Classifier(place)


def test_a_file_of_a_real_export_gets_other_values_and_keeps_its_network(four_way, pictures, tmp_path):
    graph = CalibratedGraph(onnx.load(four_way / "model.onnx"), "model.onnx")
    images, old = pictures(40, seed=5), Classifier(four_way / "model.onnx")
    scores, before = score(graph, images, batch_size=16, threads=1), old.predict_batch(images)
    np.testing.assert_allclose(
        before["probability"][:, 0], expit(scores.logits * graph.scale + graph.offset), atol=1e-6
    )
    levels = levels_of(scores.distances)
    after = rewritten(graph, tmp_path / "new.onnx", 2.5, -0.75, levels).predict_batch(images)
    np.testing.assert_allclose(after["probability"][:, 0], expit(scores.logits / 2.5 - 0.75), atol=1e-6)
    np.testing.assert_allclose(after["familiarity"][:, 0], share_beyond(scores.distances, levels), atol=1e-4)
    np.testing.assert_array_equal(after["heatmap"], before["heatmap"])


def test_replacing_twice_leaves_what_the_second_time_says(four_way, tmp_path):
    first = CalibratedGraph(onnx.load(four_way / "model.onnx"), "model.onnx")
    rewritten(first, tmp_path / "once.onnx", 3.0, 1.0, None)
    once = CalibratedGraph(onnx.load(tmp_path / "once.onnx"), "once.onnx")
    assert (once.scale, once.offset) == pytest.approx((1 / 3, 1.0))
    rewritten(once, tmp_path / "twice.onnx", 1 / first.scale, first.offset, None)
    files = [onnx.load(path) for path in (four_way / "model.onnx", tmp_path / "twice.onnx")]
    assert len({len(file.graph.node) for file in files}) == 1, "nodes do not pile up"
    assert files[0].graph.output == files[1].graph.output


def test_a_graph_without_calibration_gets_one(exported, pictures, tmp_path):
    graph = CalibratedGraph(onnx.load(exported / "model.onnx"), "model.onnx")
    assert (graph.scale, graph.offset, graph.distance) == (1.0, 0.0, None)
    images = pictures(5, seed=4)
    logits = score(graph, images, batch_size=2, threads=1).logits
    after = rewritten(graph, tmp_path / "new.onnx", 0.5, 0.25, None).predict_batch(images)
    np.testing.assert_allclose(after["probability"][:, 0], expit(logits / 0.5 + 0.25), atol=1e-6)


def test_int8_is_possible_and_float16_is_refused(four_way, pictures, tmp_path):
    from export.graph.quantize import to_fp16, to_int8

    graph = CalibratedGraph(to_int8(four_way / "model.onnx", pictures(16, seed=6)), "model.int8.onnx")
    images = pictures(8, seed=7)
    scores = score(graph, images, batch_size=8, threads=1)
    levels = levels_of(scores.distances)
    after = rewritten(graph, tmp_path / "new.onnx", 2.0, 0.5, levels).predict_batch(images)
    np.testing.assert_allclose(after["probability"][:, 0], expit(scores.logits / 2 + 0.5), atol=1e-6)
    with pytest.raises(ModelFileError, match=r"by Cast, as a float16 file does; give the float32 or the int8 file"):
        CalibratedGraph(to_fp16(four_way / "model.onnx"), "model.fp16.onnx")


def test_familiarity_that_is_computed_otherwise_is_refused(tmp_path):
    model = onnx.load(write_model(tmp_path / "model.onnx"))
    ranks = next(node for node in model.graph.node if node.op_type == "MatMul")
    ranks.input[1] = "offsets"
    with pytest.raises(ModelFileError, match="no levels of familiarity that are known here"):
        CalibratedGraph(model, "model.onnx")
