"""The output `subtype`: said of PNEUMONIA alone, by files that have it, and held by golden file and parity."""

import csv
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from brightness_model import write_model
from export import Classifier
from export.inference import golden
from export.inference.content_digest import sealed
from export.inference.onnx_metadata import ModelFileError, metadata_of_run
from export.parity.comparison import REDUCED, compare
from export.predict import Predict, predict
from export.web import server as web
from image_files import picture

LEVELS = {"normal": 80, "uncertain": 128, "viral": 174, "bacterial": 184, "unlike": 240}
TOLD = {"viral": ("VIRUS", 0.5498), "bacterial": ("BACTERIA", 0.5744)}
WEB = Path(web.__file__).parent
NODE = shutil.which("node") if (WEB / "node_modules" / "onnxruntime-web").is_dir() else None


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    write_model(path, subtype=True)
    path.write_bytes(sealed(onnx.load(path)))
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A picture of each mean grey level."""
    folder = tmp_path_factory.mktemp("images")
    for number, (name, level) in enumerate(LEVELS.items()):
        smooth = picture(number, 96, 96).astype(float)
        pixels = np.clip((smooth - smooth.mean()) / 16 + level, 0, 255)
        cv2.imwrite(str(folder / f"{name}.png"), np.rint(pixels).astype(np.uint8))
    return folder


def flat(*levels):
    return np.stack([np.full((32, 32, 1), level, np.uint8) for level in levels])


def test_the_likelier_kind_is_said_of_pneumonia_alone(model):
    found = dict(zip(LEVELS, Classifier(model).predict(flat(*LEVELS.values())), strict=True))
    assert [answer.decision for answer in found.values()] == [
        "NORMAL", "UNCERTAIN", "PNEUMONIA", "PNEUMONIA", "UNSUITABLE",
    ]  # fmt: skip
    for name, answer in found.items():
        kind, probability = TOLD.get(name, (None, None))
        told = answer.subtype_fields()
        assert (answer.subtype, told["subtype"]) == (kind, kind)
        assert told["subtype_probability"] == (None if kind is None else pytest.approx(probability, abs=1e-4))
        for word in ("BACTERIA", "VIRUS"):
            assert (word in answer._repr_html_()) == (kind == word)


def test_with_two_answers_it_goes_with_the_one_that_is_given(model):
    uncertain = Classifier(model, two_way=True).predict(flat(150))[0]
    assert (uncertain.decision, uncertain.subtype) == ("PNEUMONIA", "VIRUS")
    assert Classifier(model, threshold=0.99).predict(flat(184))[0].subtype is None


def test_command_writes_it_to_lines_table_and_terminal(model, images, tmp_path, capsys):
    predict(Predict(model=model, images=(str(images),), threads=1, json=tmp_path / "out.jsonl", csv=tmp_path / "t.csv"))
    lines = {Path(row["file"]).stem: row for row in map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())}
    table = {Path(row["file"]).stem: row for row in csv.DictReader((tmp_path / "t.csv").open())}
    for name in LEVELS:
        kind, _ = TOLD.get(name, (None, None))
        assert lines[name]["subtype"] == kind
        assert table[name]["subtype"] == (kind or "")
        assert bool(table[name]["subtype_probability"]) == (kind is not None)
    predict(Predict(model=model, images=(str(images / "bacterial.png"),), threads=1))
    assert "bacterial.png  BACTERIA 0.57" in capsys.readouterr().out


def test_a_file_without_it_answers_as_before(images, tmp_path):
    plain = write_model(tmp_path / "plain.onnx")
    predict(Predict(model=plain, images=(str(images),), threads=1, json=tmp_path / "o.jsonl", csv=tmp_path / "t.csv"))
    assert "subtype" not in (tmp_path / "o.jsonl").read_text() + (tmp_path / "t.csv").read_text()


def test_service_says_it_by_the_answer_that_is_asked_for(model, images):
    pytest.importorskip("fastapi", reason="needs the serve extra")
    from http_service import served

    body = (images / "viral.png").read_bytes()
    with served(Classifier(model, threads=1)) as client:
        answer = client.post("/v1/predict", content=body).json()
        strict = client.post("/v1/predict", params={"threshold": 0.99}, content=body).json()
    assert (answer["subtype"], answer["subtype_probability"]) == ("VIRUS", pytest.approx(0.55, abs=0.02))
    assert (strict["decision"], strict["subtype"], strict["subtype_probability"]) == ("NORMAL", None, None)


@pytest.mark.skipif(NODE is None, reason="needs node, and npm ci --prefix export/web")
def test_node_says_it_and_its_golden_check_holds_it(model, tmp_path):
    classifier = Classifier(model)
    arrays = golden.make(classifier.predict_batch, classifier.metadata)
    golden.write(tmp_path / "golden.npz", arrays)
    golden.write(tmp_path / "other.npz", arrays | {"subtype": 1 - arrays["subtype"]})
    command = [NODE, WEB / "predict.mjs", model]
    good, bad = (
        subprocess.run([*command, tmp_path / name, "--two-way"], capture_output=True, text=True, check=False)
        for name in ("golden.npz", "other.npz")
    )
    white = next(line for line in good.stdout.splitlines() if "edge-white" in line)
    assert white.split()[1:4] == ["PNEUMONIA", "edge-white", "BACTERIA"]
    assert (good.returncode, bad.returncode) == (0, 1)


def test_golden_file_and_parity_hold_it(model):
    classifier = Classifier(model)
    arrays = golden.make(classifier.predict_batch, classifier.metadata)
    assert golden.self_test(classifier, arrays) == []
    changed = arrays["subtype"].copy()
    changed[2] += 0.001
    assert "the subtype differs by 0.001" in golden.self_test(classifier, arrays | {"subtype": changed})[0]

    def keras(batch):
        found = classifier.predict_batch(batch)
        return found | {"subtype": found["subtype"] * np.float32(0.999)}

    report = compare(keras, model, flat(80, 174), threads=1)
    assert report.max_abs_subtype == pytest.approx(0.001, abs=2e-4)
    assert report.differences[0].startswith("subtype differs from Keras")
    assert compare(keras, model, flat(80, 174), budget=REDUCED, threads=1).passed


def test_the_contract_is_version_2_with_it_and_unchanged_without():
    splits = {"validation": {"auroc": 0.9, "subtype": {"auroc": 0.8}}}
    metrics = {
        "dataset": {"name": "phantom_48", "version": "1.0.0"}, "splits": splits,
        "operating_point": {"threshold": 0.5, "rule": "youden", "chosen_on": "validation"},
    }  # fmt: skip
    told = metadata_of_run(metrics, 48, "run")
    assert (told.version, told.subtypes) == (2, ("BACTERIA", "VIRUS"))
    assert told.to_props()["subtypes"] == '["BACTERIA","VIRUS"]'
    del splits["validation"]["subtype"]
    plain = metadata_of_run(metrics, 48, "run")
    assert plain == replace(told, version=1, subtypes=())
    assert "subtypes" not in plain.to_props()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subtypes": '["FUNGUS","VIRUS"]'}, "has the subtypes .* unknown here; update the program"),
        ({"subtypes": "BACTERIA"}, "unreadable metadata subtypes"),
        ({"subtype": False, "subtypes": '["BACTERIA","VIRUS"]'}, "other tensors than its metadata says"),
    ],
)
def test_files_that_say_what_they_do_not_hold_are_refused(change, message, tmp_path):
    with pytest.raises(ModelFileError, match=message):
        Classifier(write_model(tmp_path / "model.onnx", **({"subtype": True} | change)))
