"""The file that takes pictures of any size: its pixels are the decoder's, its answers the ordinary file's."""

import json
import shutil

import cv2
import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from export import Classifier
from export.carry_decision import with_decision
from export.check import Check, check
from export.export_options import ExportOptions
from export.export_run import export_run
from export.graph.any_size import preprocessing
from export.inference.onnx_metadata import ModelFileError
from export.parity import parity_sample
from made_examples import examples_of
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.decode import decode
from pneumo_tfds.decode.pixels import decode_full, resize

SIDE = 32
SIZES = [(32, 32), (20, 16), (100, 133), (31, 150), (150, 31), (33, 32), (300, 301), (5, 200), (1, 1), (257, 515)]


def picture(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4 + 2, width // 4 + 2), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def squares(framing, image, jpeg=False):
    session = onnxruntime.InferenceSession(preprocessing(SIDE, framing).SerializeToString())
    return session.run(None, {"image": image, "jpeg": np.array([jpeg])})[0].astype(int)


@pytest.mark.parametrize("framing", ["squeeze", "crop", "pad"])
def test_a_picture_becomes_the_square_of_the_decoder(framing):
    for height, width in SIZES:
        grey = picture(height, width)
        found = squares(framing, np.stack([grey, grey[::-1]])[..., np.newaxis])
        expected = [resize(grey, SIDE, framing), resize(np.ascontiguousarray(grey[::-1]), SIDE, framing)]
        assert np.abs(found - np.stack(expected)).max() <= 1, (height, width)


@pytest.mark.parametrize("framing", ["squeeze", "crop", "pad"])
def test_a_jpeg_is_reduced_as_libjpeg_reduces_it(framing):
    for height, width in [(70, 99), (131, 170), (259, 301), (300, 520)]:
        data = cv2.imencode(".jpg", picture(height, width) // 2 + 60, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        full = decode_full(data)[np.newaxis, :, :, np.newaxis]
        expected = decode(data, SIDE, framing=framing)
        assert np.abs(squares(framing, full, jpeg=True)[0] - expected).max() <= 2
        assert np.abs(squares(framing, full, jpeg=False)[0] - expected).max() > 2  # so the input `jpeg` is needed


def test_colours_become_the_grey_of_the_decoder():
    rgb = np.dstack([picture(40, 50, seed) for seed in range(3)])
    png = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))[1].tobytes()
    assert np.abs(squares("squeeze", rgb[np.newaxis])[0] - decode(png, SIDE)).max() <= 1


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused(channels):
    with pytest.raises(Fail, match="dimension mismatch"):
        squares("squeeze", np.zeros((1, 40, 50, channels), np.uint8))


def a_few_pictures(*_):
    made = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 1), dtype=np.uint8)
    return examples_of(made)


@pytest.fixture(scope="module")
def with_any_size(four_way, tmp_path_factory):
    """A copy of the run with a file of any size."""
    folder = tmp_path_factory.mktemp("any-size") / "run"
    shutil.copytree(four_way, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity_sample, "take", a_few_pictures)
        lines = dict(export_run(folder, ExportOptions(any_size=True, threads=1)))
    assert "golden files pixels differ by up to" in lines[folder / "model.any_size.onnx"]
    return folder


def test_it_has_the_outputs_of_the_ordinary_file(with_any_size):
    ordinary = Classifier(with_any_size)
    session = onnxruntime.InferenceSession(with_any_size / "model.any_size.onnx")
    props = session.get_modelmeta().custom_metadata_map
    assert props["threshold"] == str(ordinary.metadata.threshold)
    assert props["resize"].startswith("in the file")
    assert props["guarantee"].startswith("shown for the file without preprocessing")
    grey = picture(190, 260)
    png = cv2.imencode(".png", grey)[1].tobytes()
    expected = ordinary.predict_batch(ordinary.decode(png)[np.newaxis])
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {"image": grey[np.newaxis, ..., np.newaxis], "jpeg": np.array([False])})
    for name, value in zip(names, found, strict=True):
        np.testing.assert_allclose(value, expected[name], atol=0.05 if name == "heatmap" else 0.01)
    entry = json.loads((with_any_size / "parity.json").read_text())["files"]["model.any_size.onnx"]
    assert entry["passed"]
    assert entry["files"] == 7
    assert entry["max_levels"] <= 2


def test_the_python_classifier_names_the_file_to_take(with_any_size):
    with pytest.raises(ModelFileError, match=r"takes pictures of any size.*give .*model\.onnx"):
        Classifier(with_any_size / "model.any_size.onnx")


def test_a_new_decision_reaches_it(with_any_size):
    metrics = json.loads((with_any_size / "metrics.json").read_text())
    metrics["operating_point"]["threshold"] = 0.25
    run = RunFolder(with_any_size)
    changed = with_decision(run, metrics)[run.onnx_any_size]
    session = onnxruntime.InferenceSession(changed)
    props = session.get_modelmeta().custom_metadata_map
    assert props["threshold"] == "0.25"
    assert props["resize"].startswith("in the file")


def test_check_leaves_it_out(with_any_size, monkeypatch, capsys):
    monkeypatch.setattr(parity_sample, "take", a_few_pictures)
    check(Check(run_folder=with_any_size, threads=1))
    assert "any_size" not in capsys.readouterr().out
