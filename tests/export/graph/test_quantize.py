"""Smaller variants: what stays in float32, what they must keep, and that they are removed if they do not."""

import dataclasses
import hashlib
import json
import logging
import shutil
from collections import Counter

import numpy as np
import onnx
import pytest

from export import Classifier, export_run
from export.export_options import ExportOptions
from export.graph import quantize
from export.inference import golden
from export.inference.content_digest import KEY
from export.inference.golden import edge_images
from export.inference.onnx_metadata import KEYS, WHERE_ABSENT
from export.parity import comparison

FP16, INT8 = "model.fp16.onnx", "model.int8.onnx"


@pytest.fixture
def run(exported, tmp_path):
    """A copy of the exported run, to change."""
    return shutil.copytree(exported, tmp_path / "run")


def kinds(path):
    model = onnx.load(path)
    return Counter(tensor.data_type for tensor in model.graph.initializer), Counter(n.op_type for n in model.graph.node)


def test_both_variants_pass_and_keep_the_contract(run, sample_images, pictures):
    found = dict(export_run.export_run(run, ExportOptions(fp16=True, int8=True, threads=1)))
    assert set(found) == {run / "model.onnx", run / FP16, run / INT8}
    files = json.loads((run / "parity.json").read_text())["files"]
    assert all(report["passed"] for report in files.values())
    assert set(files) == {"model.onnx", FP16, INT8}
    props = {entry.key: entry.value for entry in onnx.load(run / "model.onnx").metadata_props}
    assert set(KEYS) - set(WHERE_ABSENT) < set(props)
    images = pictures(6)
    wanted = Classifier(run / "model.onnx").predict(images)
    for name in (FP16, INT8):
        classifier = Classifier(run / name)
        answers = classifier.predict(images)
        np.testing.assert_allclose([a.probability for a in answers], [w.probability for w in wanted], atol=0.02)
        assert answers[0].heatmap.dtype == np.float32
        own = {entry.key: entry.value for entry in onnx.load(run / name).metadata_props}
        assert own.pop("parent_sha256") == hashlib.sha256((run / "model.onnx").read_bytes()).hexdigest()
        assert set(json.loads(own.pop("golden_tolerance"))) == {"probability", "heatmap"}
        assert own | {KEY: props[KEY]} == props


def test_reduced_files_know_the_familiarity_from_sums_in_float32(four_way, pictures):
    wanted = Classifier(four_way / "model.onnx").predict_batch(pictures(40, seed=2))["familiarity"]
    for name, reduced in (
        ("fp16", quantize.to_fp16(four_way / "model.onnx")),
        ("int8", quantize.to_int8(four_way / "model.onnx", pictures(60), float32_convolutions=4)),
    ):
        (four_way.parent / name).write_bytes(reduced.SerializeToString())
        classifier = Classifier(four_way.parent / name)
        assert classifier.metadata.limits == Classifier(four_way / "model.onnx").metadata.limits
        assert (
            classifier.metadata.guarantee
            == "of the float32 file, not shown for this one: NPV at least 0.9 on made pictures"
        )
        found = classifier.predict_batch(pictures(40, seed=2))["familiarity"]
        assert np.corrcoef(found[:, 0], wanted[:, 0])[0, 1] > 0.9
        assert classifier.predict_batch(edge_images(48))["familiarity"][:4].max() < 0.04
    _, tail = quantize._outside_convolutions(reduced.graph)
    makers = {name: node.op_type for node in reduced.graph.node for name in node.output}
    quantized = [node for node in reduced.graph.node if node.name in tail and node.op_type == "QuantizeLinear"]
    assert {makers[node.input[0]] for node in quantized} <= {"Conv"}  # what the heat map is made of


def test_fp16_halves_the_weights_but_not_the_scaling(exported):
    model = quantize.to_fp16(exported / "model.onnx")
    weights = {node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert {types[name] for name in weights} == {onnx.TensorProto.FLOAT16}
    first = next(node for node in model.graph.node if node.op_type == "Mul")
    assert types[first.input[1]] == onnx.TensorProto.FLOAT


def test_int8_convolutions_are_per_channel_and_neither_image_nor_stem_is_quantized(exported, pictures):
    model = quantize.to_int8(exported / "model.onnx", pictures(20))
    makers = {name: node for node in model.graph.node for name in node.output}
    scales = {tensor.name: tensor for tensor in model.graph.initializer}
    stem, *convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert scales[stem.input[1]].data_type == onnx.TensorProto.FLOAT
    assert len(convolutions) == 2
    for node in convolutions:
        dequantize = makers[node.input[1]]
        assert dequantize.op_type == "DequantizeLinear"
        assert len(onnx.numpy_helper.to_array(scales[dequantize.input[1]]).reshape(-1)) == node_channels(node, model)
    head = {node.op_type for node in model.graph.node[: list(model.graph.node).index(stem)]}
    assert "Cast" in head
    assert "QuantizeLinear" not in head
    assert makers[makers[convolutions[0].input[0]].input[0]].op_type == "QuantizeLinear"


def node_channels(convolution, model):
    makers = {name: node for node in model.graph.node for name in node.output}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    return weights[makers[convolution.input[1]].input[0]].dims[0]


def test_quantizing_twice_gives_the_same_bytes(exported, pictures):
    first, second = (quantize.to_int8(exported / "model.onnx", pictures(20)) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


def test_quantizing_leaves_the_root_loggers_level_alone(exported, pictures):
    logging.getLogger().setLevel(logging.INFO)
    try:
        quantize.to_int8(exported / "model.onnx", pictures(4))
        assert logging.getLogger().level == logging.INFO
    finally:
        logging.getLogger().setLevel(logging.WARNING)


def test_a_variant_over_budget_is_not_kept_and_the_command_goes_on(run, sample_images, monkeypatch):
    (run / INT8).write_bytes(b"an earlier export")
    monkeypatch.setattr(comparison, "REDUCED", dataclasses.replace(comparison.REDUCED, probability=0.0))
    found = dict(export_run.export_run(run, ExportOptions(int8=True, threads=1)))
    assert found[run / INT8].startswith("not kept: probability differs")
    assert not (run / INT8).exists()
    assert not [path for path in run.iterdir() if "candidate" in path.name]
    assert json.loads((run / "parity.json").read_text())["files"][INT8]["passed"] is False


def test_more_convolutions_stay_float32_if_too_many_decisions_change(run, sample_images, monkeypatch):
    original, made = comparison.compare, []

    def strict_once(expected, file, **options):
        report = original(expected, file, **options)
        if options.get("budget") is comparison.REDUCED:
            made.append(sum(n.op_type == "DequantizeLinear" for n in onnx.load(file).graph.node))
            if len(made) == 1:
                report.differences.append("5 of 40 decisions flip")
        return report

    monkeypatch.setattr(comparison, "compare", strict_once)
    found = dict(export_run.export_run(run, ExportOptions(int8=True, threads=1)))
    assert len(made) == 2
    assert made[1] < made[0]
    assert "not kept" not in found[run / INT8]
    assert (run / INT8).is_file()
    assert json.loads((run / "parity.json").read_text())["files"][INT8]["passed"] is True


def test_variants_of_another_model_are_removed(run, sample_images):
    list(export_run.export_run(run, ExportOptions(int8=True, threads=1)))
    list(export_run.export_run(run, ExportOptions(threads=1)))
    assert (run / INT8).exists()  # model.onnx is the same, so it is still right
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["operating_point"]["threshold"] = 0.25
    (run / "metrics.json").write_text(json.dumps(metrics))
    list(export_run.export_run(run, ExportOptions(threads=1)))
    assert not (run / INT8).exists()
    assert set(json.loads((run / "parity.json").read_text())["files"]) == {"model.onnx"}


def test_golden_examples_are_judged_by_the_tolerance_in_the_file(run, sample_images):
    list(export_run.export_run(run, ExportOptions(int8=True, threads=1)))
    arrays = golden.read(run / "golden.npz")
    classifier = Classifier(run / INT8)
    tolerance = classifier.metadata.golden_tolerance
    assert tolerance["probability"] > golden.TOLERANCE  # so that the check of float32 would refuse the file
    assert golden.self_test(classifier, arrays) == []
    shifted = {**arrays, "probability": arrays["probability"] + np.float32(2 * tolerance["probability"])}
    assert any("probability differs" in line for line in golden.self_test(classifier, shifted))


def test_a_heat_map_over_its_budget_is_left_out_and_that_is_said(run, sample_images, monkeypatch):
    strict = dataclasses.replace(comparison.REDUCED, heatmap=0.0)
    monkeypatch.setattr(comparison, "REDUCED", strict)
    found = dict(export_run.export_run(run, ExportOptions(int8=True, threads=1)))
    assert found[run / INT8].endswith("without heat map, which differed too much")
    classifier = Classifier(run / INT8)
    assert not classifier.has_heatmap
    assert golden.self_test(classifier, golden.read(run / "golden.npz")) == []
    assert json.loads((run / "parity.json").read_text())["files"][INT8]["heatmap_left_out"]
