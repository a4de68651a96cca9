"""OpenVINO in place of onnxruntime: chosen where it is faster, and with the same answers."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from brightness_model import write_model
from export import Classifier
from export.check import Check, check
from export.graph.quantize import to_int8
from export.inference import engine, golden, model_options, openvino_session
from export.inference.content_digest import sealed
from export.inference.onnx_metadata import ModelFileError
from export.parity import parity_sample
from export.predict import Predict, predict
from export.serve.service import create_app
from made_examples import examples_of
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.installed import how_to_install

ROOT = Path(__file__).parents[3]


@pytest.fixture
def fast_int8(monkeypatch):
    """A processor with VNNI, so that auto depends on the file and the installation alone."""
    monkeypatch.setattr("pneumo_tfds.program.processor.instruction_sets", lambda: {"VNNI": True})


@pytest.fixture(scope="module")
def int8(four_way, pictures, tmp_path_factory):
    """An int8 file. Read only: copy before changing."""
    path = tmp_path_factory.mktemp("int8") / "model.int8.onnx"
    path.write_bytes(sealed(to_int8(four_way / "model.onnx", pictures(60), float32_convolutions=4)))
    return path


def with_tolerance(model, allowed):
    """The same model with that golden tolerance."""
    told = {entry.key: entry.value for entry in model.metadata_props} | {"golden_tolerance": json.dumps(allowed)}
    onnx.helper.set_model_props(model, told)
    return model


@pytest.mark.parametrize(
    ("asked", "is_int8", "installed", "vnni", "used"),
    [
        ("auto", True, True, True, "openvino"),
        ("auto", False, True, True, "onnxruntime"),
        ("auto", True, False, True, "onnxruntime"),
        ("auto", True, True, False, "onnxruntime"),
        ("auto", True, True, None, "onnxruntime"),
        ("openvino", False, False, False, "openvino"),
        ("onnxruntime", True, True, True, "onnxruntime"),
    ],
)
def test_auto_is_openvino_where_it_is_faster(asked, is_int8, installed, vnni, used, monkeypatch):
    monkeypatch.setattr(engine, "is_installed", lambda module: installed)
    known = None if vnni is None else {"VNNI": vnni}
    monkeypatch.setattr("pneumo_tfds.program.processor.instruction_sets", lambda: known)
    assert engine.resolve(asked, is_int8=is_int8) == used


def test_without_it_the_extra_is_named(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match="OpenVINO cannot be imported") as refused:
        predict(Predict(model=exported / "model.onnx", images=(__file__,), engine="openvino"))
    assert str(refused.value).endswith(how_to_install("openvino"))


def test_answers_name_what_computed_them(exported):
    classifier = Classifier(exported)
    assert classifier.engine == f"onnxruntime {onnxruntime.__version__}"


def test_a_batch_is_computed_in_pieces_that_are_all_of_it():
    for count in (1, 3, 4, 15, 16, 39):
        images = np.arange(count)
        pieces = [*openvino_session._pieces(images)]
        assert {len(piece) for piece in pieces} <= set(openvino_session.SIZES)
        np.testing.assert_array_equal(np.concatenate(pieces), images)


class TestWithOpenVino:
    """Needs the extra `openvino`."""

    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("openvino", reason="needs openvino (pip install openvino)")

    @pytest.mark.parametrize("count", [1, 7, 22])
    def test_all_outputs_are_those_of_onnxruntime(self, four_way, pictures, count):
        """A tolerance that bfloat16, which OpenVINO takes by default where it can, is far beyond."""
        images = pictures(count, seed=4)
        wanted = Classifier(four_way).predict_batch(images)
        found = Classifier(four_way, engine="openvino", threads=1).predict_batch(images)
        assert list(found) == ["probability", "heatmap", "familiarity"] == list(wanted)
        for name, tolerance in golden.tolerances(wanted).items():
            if name in wanted:
                assert found[name].dtype == np.float32
                np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=tolerance)

    def test_the_subtype_too(self, tmp_path):
        path = write_model(tmp_path / "model.onnx", subtype=True)
        images = np.stack([np.full((32, 32, 1), level, np.uint8) for level in (80, 128, 174, 184, 240)])
        answers = [Classifier(path, engine=used).predict(images) for used in ("onnxruntime", "openvino")]
        assert [[one.decision for one in each] for each in answers] == [[one.decision for one in answers[0]]] * 2
        np.testing.assert_allclose(*[[one.viral for one in each] for each in answers], atol=1e-5)

    def test_the_golden_check_is_made_with_what_answers(self, four_way, capsys):
        given = {"model": four_way / "model.onnx", "golden": four_way / "golden.npz", "engine": "openvino"}
        assert predict(Predict(**given)) == 0
        assert "Golden check passed" in capsys.readouterr().err

    def test_much_work_with_an_int8_file_is_computed_by_it_and_a_line_says_so(
        self, int8, four_way, jpegs, tmp_path, fast_int8, monkeypatch, capsys
    ):
        out = tmp_path / "out.jsonl"
        for model, enough, used in (
            (int8, 12, "openvino 20"),
            (int8, 13, "onnxruntime "),
            (four_way, 1, "onnxruntime "),
        ):
            monkeypatch.setattr(model_options, "WORTHWHILE", enough)
            assert predict(Predict(model=model, images=(str(jpegs),), json=out)) == 0
            assert out.read_text().count(f'"engine": "{used}') == 12
            assert (f"{model}: computed by openvino " in capsys.readouterr().err) == (used == "openvino 20")
        assert (
            model_options.ModelOptions().opened(int8).engine.startswith("openvino")
        )  # as the service and the watcher do

    def test_an_int8_file_may_differ_by_half_more_than_with_onnxruntime(self, int8, four_way, tmp_path):
        arrays = golden.read(four_way / "golden.npz")
        outputs = Classifier(int8, engine="openvino").predict_batch(arrays["images"])
        gaps = {name: float(np.abs(outputs[name].astype(np.float64) - arrays[name]).max()) for name in outputs}
        model, path = onnx.load(int8), tmp_path / "model.onnx"
        for fraction, passes in ((1 / 1.4, True), (1 / 1.6, False)):
            allowed = golden.tolerance_of_reduced(Classifier(int8), arrays) | {
                "probability": fraction * gaps["probability"]
            }
            kept = [entry for entry in model.metadata_props if entry.key != "golden_tolerance"]
            del model.metadata_props[:]
            model.metadata_props.extend(kept)
            model.metadata_props.add(key="golden_tolerance", value=json.dumps(allowed))
            path.write_bytes(sealed(model))
            wrong = golden.self_test(Classifier(path, engine="openvino"), arrays)
            assert any("the probability differs" in each for each in wrong) != passes

    def test_written_files_are_compared_with_keras_by_it(self, four_way, tmp_path, pictures, monkeypatch):
        sample = examples_of(pictures(20, seed=3))
        monkeypatch.setattr(parity_sample, "take", lambda *given: sample)
        folder = shutil.copytree(four_way, tmp_path / "run")
        runs = []
        run = openvino_session.OpenVinoSession.run
        monkeypatch.setattr(
            openvino_session.OpenVinoSession, "run", lambda self, *given: runs.append(1) or run(self, *given)
        )
        found = tmp_path / "found.json"
        assert check(Check(run_folder=folder, dataset=tmp_path, engine="openvino", json=found)) == 0
        assert runs
        assert json.loads(found.read_text())["engine"] == "openvino"

    def test_threads_may_share_it(self, four_way, pictures):
        classifier = Classifier(four_way, engine="openvino", threads=1)
        images = pictures(40, seed=6)
        wanted = classifier.predict_batch(images)["probability"]
        batches = [slice(start, start + 1 + start % 6) for start in range(34)] * 3
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda part: classifier.predict_batch(images[part])["probability"], batches))
        for part, each in zip(batches, found, strict=True):
            np.testing.assert_allclose(each, wanted[part], atol=1e-5)

    def test_the_service_names_it(self, exported):
        from fastapi.testclient import TestClient

        with TestClient(create_app({"m": Classifier(exported, engine="openvino")})) as client:
            assert client.get("/v1/model").json()["engine"].startswith("openvino 20")
            assert client.get("/v2/models/m").json()["platform"] == "openvino_onnx"
            assert client.get("/readyz").status_code == 200

    def test_an_operator_that_it_does_not_know_is_one_line(self, exported, tmp_path):
        model = onnx.load(exported / "model.onnx")
        relu = next(node for node in model.graph.node if node.op_type == "Relu")
        relu.op_type, relu.domain = "Binarizer", "ai.onnx.ml"
        model.opset_import.add(domain=relu.domain, version=1)
        path = tmp_path / "model.onnx"
        path.write_bytes(sealed(model))
        Classifier(path)
        with pytest.raises(ModelFileError) as refused:
            Classifier(path, engine="openvino")
        assert str(refused.value).startswith(f"{path} cannot be run by OpenVINO (")
        assert "ai.onnx.ml.Binarizer" in str(refused.value)

    def test_a_damaged_file_is_one_line(self, exported, tmp_path):
        path = tmp_path / "model.onnx"
        path.write_bytes((exported / "model.onnx").read_bytes()[:3000])
        with pytest.raises(ModelFileError, match="is not a readable ONNX file"):
            Classifier(path, engine="openvino")

    def test_it_reports_nothing_to_its_makers(self, tmp_path):
        program = (
            "from export.inference.openvino_session import import_openvino as i; i(); import sys; "
            "sys.exit(sys.modules['openvino_telemetry'] is not None)"
        )
        environment = {**os.environ, "HOME": str(tmp_path), "CI": "", "PYTHONPATH": str(ROOT)}
        assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0
        assert not list(tmp_path.iterdir())  # it would write an identifier there
