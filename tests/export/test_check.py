"""`python -m export.check`: written files, compared with Keras on every image."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.check import DIFFERS, Check, check
from export.export_options import ExportOptions
from export.export_run import export_run
from export.parity import parity_sample
from image_files import jpeg, picture
from made_examples import examples_of
from pneumo_tfds.program.errors import InputError

INT8 = "model.int8.onnx"


@pytest.fixture
def run(exported, tmp_path, pictures, monkeypatch):
    """A copy of the exported run, and a dataset of 50 images."""
    asked = []

    def take(dataset, split, side, limit=0):
        if not limit:  # of the check, not of an export
            asked.append((dataset, split))
        return examples_of(pictures(50, side, seed=3))

    monkeypatch.setattr(parity_sample, "take", take)
    monkeypatch.setattr(parity_sample, "trained_on", lambda data, limit: take(None, "train", 48, limit))
    folder = shutil.copytree(exported, tmp_path / "run")
    return folder, asked


def test_every_file_is_compared_on_every_image(run, tmp_path, capsys):
    folder, asked = run
    list(export_run(folder, ExportOptions(int8=True, threads=1)))
    given = tmp_path / "built"
    given.mkdir()
    assert check(Check(run_folder=folder, dataset=given, threads=1, json=tmp_path / "found.json")) == 0
    assert asked == [(given, "all")]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(folder / name) for name in (INT8, "model.onnx")]
    found = json.loads((tmp_path / "found.json").read_text())["files"]
    assert {name: report["real_images"] for name, report in found.items()} == {INT8: 50, "model.onnx": 50}
    assert found["model.onnx"]["max_abs_probability"] < 1e-6


def test_images_of_a_source_are_framed_as_the_run_was(run, tmp_path, monkeypatch):
    folder, asked = run
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["dataset"]["framing"] = "crop"
    (folder / "metrics.json").write_text(json.dumps(metrics))
    monkeypatch.setattr("pneumo_tfds.prepared.prepare", lambda *what, framing: tmp_path / framing)
    source = tmp_path / "source"
    for label in ("NORMAL", "PNEUMONIA"):
        (source / label).mkdir(parents=True)
        (source / label / "1.jpeg").write_bytes(jpeg(picture(len(label))))
    assert check(Check(run_folder=folder, source=source, yes=True, threads=1)) == 0
    assert asked == [(tmp_path / "crop", "all")]


def test_a_source_is_read_as_the_flags_say(run, tmp_path, monkeypatch):
    folder, _ = run
    for label in ("NORMAL", "ILL"):
        (tmp_path / "clinic" / label).mkdir(parents=True)
        (tmp_path / "clinic" / label / "1.jpeg").write_bytes(jpeg(picture(len(label))))
    opened = []
    monkeypatch.setattr("pneumo_tfds.prepared.prepare", lambda source, *what, **how: opened.append(source) or tmp_path)
    with pytest.raises(InputError, match="--positive"):
        check(Check(run_folder=folder, source=tmp_path / "clinic", threads=1))
    assert check(Check(run_folder=folder, source=tmp_path / "clinic", threads=1, positive=("ILL",), yes=True)) == 0
    assert {image.label for image in opened[0].images} == {"NORMAL", "PNEUMONIA"}


def test_a_file_that_differs_is_reported_with_exit_code_1(run, capsys):
    folder, _ = run
    model = onnx.load(folder / "model.onnx")
    bias = next(w for w in reversed(model.graph.initializer) if w.data_type == onnx.TensorProto.FLOAT)
    values = onnx.numpy_helper.to_array(bias) + np.float32(0.1)
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    onnx.save(model, folder / "model.onnx")
    assert check(Check(run_folder=folder, split="train", threads=1)) == DIFFERS
    assert "\n  probability differs" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["model.onnx", "model.keras", "metrics.json", "config.json"])
def test_the_results_replace_no_file_that_is_read(run, name):
    folder, _ = run
    before = (folder / name).read_bytes()
    with pytest.raises(InputError, match=f"--json .*{name} is an input, which stays as it is; name another file"):
        check(Check(run_folder=folder, threads=1, json=folder / name))
    assert (folder / name).read_bytes() == before


def test_the_results_replace_no_x_ray(run, tmp_path):
    folder, _ = run
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.jpeg").write_bytes(jpeg(picture(len(label))))
    with pytest.raises(InputError, match=r"--json .* is an input, which stays as it is"):
        check(Check(run_folder=folder, source=tmp_path, yes=True, threads=1, json=tmp_path / "NORMAL" / "1.jpeg"))


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"holds no model.onnx; make one with python -m export"):
        check(Check(run_folder=tmp_path))
    with pytest.raises(InputError, match="--source and --dataset both name images"):
        Check(run_folder=tmp_path, source=tmp_path, dataset=tmp_path)
    with pytest.raises(InputError, match="--threads is 0"):
        Check(run_folder=tmp_path, threads=0)
    with pytest.raises(InputError, match="--yes is about --source; leave it out, or name"):
        Check(run_folder=tmp_path, dataset=tmp_path, yes=True)


def test_help_answers_without_tensorflow():
    command = [sys.executable, "-X", "importtime", "-m", "export.check", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert "Compare a run's ONNX files" in done.stdout
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not imported & {"tensorflow", "keras", "onnxruntime", "onnx"}
