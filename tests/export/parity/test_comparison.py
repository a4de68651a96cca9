"""The comparison that decides whether a file is written: it must detect every kind of difference."""

import json
import shutil

import numpy as np
import onnx
import pytest

from export import export_run
from export.export_options import ExportOptions
from export.graph import convert
from export.inference.golden import EDGES
from export.parity import comparison
from pneumo_tfds.program.errors import InputError

ONE_THREAD = ExportOptions(threads=1)


@pytest.fixture(scope="module")
def expected(exported):
    return convert.reference(convert.load_keras(exported / "model.keras"))


def changed(exported, folder, change):
    model = onnx.load(exported / "model.onnx")
    change(model)
    onnx.save(model, folder / "changed.onnx")
    return folder / "changed.onnx"


def nudge_first_bias(amount):
    def change(model):
        weights = [w for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT and len(w.dims) == 1]
        values = onnx.numpy_helper.to_array(weights[-1]) + np.float32(amount)
        weights[-1].CopyFrom(onnx.numpy_helper.from_array(values, weights[-1].name))

    return change


def test_exported_file_passes_on_real_and_edge_images(exported, expected, pictures):
    report = comparison.compare(expected, exported / "model.onnx", pictures(70), labels=np.arange(70) % 2)
    assert report.passed
    assert report.images == 70 + len(EDGES)
    assert report.max_abs_probability < 1e-6
    assert report.decision_flips == 0
    assert report.auroc_file == report.auroc_keras


def test_a_small_shift_of_one_weight_is_seen(exported, expected, pictures, tmp_path):
    path = changed(exported, tmp_path, nudge_first_bias(0.02))
    report = comparison.compare(expected, path, pictures(4))
    assert not report.passed
    assert any("probability differs" in difference for difference in report.differences)
    assert any("heatmap differs" in difference for difference in report.differences)


def test_decisions_and_auroc_are_compared_separately(exported, expected, pictures, tmp_path):
    images = pictures(40)
    answers = expected(images)["probability"][:, 0]
    threshold = float(np.median(answers))
    path = changed(exported, tmp_path, nudge_first_bias(3.0))
    report = comparison.compare(expected, path, images, threshold=threshold, budget=comparison.REDUCED)
    assert report.decision_flips > 0
    assert any("decisions change" in difference for difference in report.differences)


def test_wrong_names_types_and_fixed_batch_are_all_collected(exported, expected, pictures, tmp_path):
    def change(model):
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
        for node in model.graph.node:
            node.output[:] = ["heat" if name == "heatmap" else name for name in node.output]
            node.input[:] = ["heat" if name == "heatmap" else name for name in node.input]
        model.graph.output[1].name = "heat"

    report = comparison.compare(expected, changed(exported, tmp_path, change), pictures(2))
    assert any("batch is fixed" in difference for difference in report.differences)
    assert any("outputs are ['probability', 'heat']" in difference for difference in report.differences)


def test_run_folder_after_export(exported):
    written = json.loads((exported / "parity.json").read_text())["files"]["model.onnx"]
    assert written["passed"] is True
    assert written["max_abs_probability"] <= 1e-5
    assert written["batch_sizes"] == [1, 2, 7, 64]
    assert sorted(path.name for path in exported.glob("[!.]*.*") if path.is_file()) == [
        "config.json", "golden.npz", "metrics.json", "model.keras", "model.onnx", "parity.json",
    ]  # fmt: skip


def test_a_file_that_fails_never_gets_its_name(exported, tmp_path, sample_images, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(exported, run)
    (run / "model.onnx").unlink()
    original = convert.to_onnx

    def broken(model, props):
        proto = original(model, props)
        nudge_first_bias(0.5)(proto)
        return proto

    monkeypatch.setattr(convert, "to_onnx", broken)
    with pytest.raises(comparison.ParityError, match=r"model.onnx was not written: .*parity.json"):
        list(export_run.export_run(run, ONE_THREAD))
    assert not (run / "model.onnx").exists()
    assert not [path for path in run.iterdir() if "partial" in path.name]
    assert json.loads((run / "parity.json").read_text())["files"]["model.onnx"]["passed"] is False


def test_exporting_twice_gives_the_same_bytes(exported, tmp_path, sample_images):
    run = tmp_path / "run"
    shutil.copytree(exported, run)
    before = (run / "model.onnx").read_bytes()
    list(export_run.export_run(run, ONE_THREAD))
    assert (run / "model.onnx").read_bytes() == before


def test_missing_dataset_is_one_line_that_names_the_remedy(exported, tmp_path, sample_images):
    run = tmp_path / "run"
    shutil.copytree(exported, run)
    (run / "config.json").write_text(json.dumps({"data": {"dataset": str(tmp_path / "gone")}}))
    with pytest.raises(InputError, match=r"gone is gone.*--dataset FOLDER"):
        list(export_run.export_run(run, ONE_THREAD))
