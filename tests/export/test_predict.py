"""Prediction without TensorFlow: same answers as Keras, every kind of input, and bad input as one line."""

import csv
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest

from export import Classifier, explain
from export.graph import convert
from export.inference.classifier import ModelFileError
from export.inference.content_digest import sealed
from export.predict import Predict, predict
from image_files import dicom, png
from pneumo_tfds.decode import decode, decode_whole, resize
from pneumo_tfds.decode.reasons import Reasons
from pneumo_tfds.program.errors import InputError

BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "tensorflow_datasets", "onnx", "tf2onnx", "sklearn", "scipy"):
            raise ImportError(f"{name} must not be imported here")
sys.meta_path.insert(0, Blocker())
"""


def command(tmp_path, *arguments, stdin=None, blocked=True):
    """Run `python -m export.predict`, with everything heavy made impossible to import."""
    site = tmp_path / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(BLOCKER if blocked else "")
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(site), str(root)])
    return subprocess.run(
        [sys.executable, "-m", "export.predict", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        input=stdin,
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(model, *images, **flags):
    return predict(Predict(model=model, images=tuple(map(str, images)), threads=1, **flags))


def test_command_equals_keras_where_tensorflow_cannot_be_imported(exported, jpegs, tmp_path):
    done = command(tmp_path, exported / "model.onnx", jpegs, "--json", tmp_path / "out.jsonl", "--batch-size", "5")
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "out.jsonl")
    files = sorted(jpegs.rglob("*.jpeg"))
    assert [row["file"] for row in found] == [str(file) for file in files]
    pixels = np.stack([decode(file.read_bytes(), 48) for file in files])
    keras_says = convert.reference(convert.load_keras(exported / "model.keras"))(pixels)["probability"][:, 0]
    np.testing.assert_allclose([row["probability"] for row in found], keras_says, atol=1e-5)
    assert {row["threshold"] for row in found} == {0.49996}
    for row in found:
        assert row["decision"] == ("PNEUMONIA" if row["probability"] >= 0.49996 else "NORMAL")
    assert b"12 images:" in done.stderr


def test_imports_are_light():
    code = (
        "import sys; from export import Classifier;"
        "heavy = {'tensorflow', 'keras', 'onnx', 'sklearn', 'scipy', 'matplotlib', 'tyro', 'rich'} & set(sys.modules);"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unreadable_images_are_rows_with_an_error_and_the_others_are_predicted(exported, jpegs, tmp_path, capsys):
    good = next(jpegs.rglob("*.jpeg"))
    (tmp_path / "empty.jpeg").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.jpeg").write_bytes(good.read_bytes()[:400])
    names = [tmp_path / "empty.jpeg", good, tmp_path / "text.png", tmp_path / "cut.jpeg"]
    assert run(exported / "model.onnx", *names, json=tmp_path / "out.jsonl") == 0
    found = rows(tmp_path / "out.jsonl")
    assert ["error" in row for row in found] == [True, False, True, True]
    assert "probability" not in found[0]
    assert "1 image: " in (summary := capsys.readouterr().err)
    assert "3 could not be read" in summary


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"this only has its name", "not a JPEG, PNG or DICOM"),
        (png(50_000, 50_000), "declares 50000 x 50000 pixels"),
        (cv2.imencode(".png", np.full((1, 1), 7, np.uint8))[1].tobytes(), "only 1 x 1 pixels"),
        (cv2.imencode(".jpeg", np.zeros((90, 90), np.uint8))[1].tobytes(), "holds no picture"),
        (cv2.imencode(".jpeg", np.eye(90, dtype=np.uint8) * 255)[1].tobytes()[:-40], "truncated"),
        (bytes(128) + b"DICM" + bytes(90), "the DICOM file holds no pixels"),
    ],
)
def test_an_unreadable_image_is_reported_in_one_line(exported, tmp_path, capsys, data, reason):
    (tmp_path / "an image.jpeg").write_bytes(data)
    assert run(exported / "model.onnx", tmp_path / "an image.jpeg", json=tmp_path / "out.jsonl") == 2
    (row,) = rows(tmp_path / "out.jsonl")
    assert row["error"].startswith(f"{tmp_path / 'an image.jpeg'}: ")
    assert reason in row["error"]
    assert "\n" not in row["error"]
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_table_of_before_is_kept_where_nothing_is_answered(exported, jpegs, tmp_path, capsys, kind):
    (tmp_path / "empty.jpeg").touch()
    assert run(exported / "model.onnx", next(jpegs.rglob("*.jpeg")), **{kind: tmp_path / "out"}) == 0
    before = (tmp_path / "out").read_bytes()
    assert run(exported / "model.onnx", tmp_path / "empty.jpeg", **{kind: tmp_path / "out"}) == 2
    assert (tmp_path / "out").read_bytes() == before
    assert f"kept as before: {tmp_path / 'out'}\n" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"empty.jpeg", "out"}


def test_an_output_that_was_not_there_is_written_beside_one_that_is_kept(exported, tmp_path, capsys):
    (tmp_path / "empty.jpeg").touch()
    (tmp_path / "old").write_text("of before")
    outputs = {"csv": tmp_path / "old", "json": tmp_path / "new"}
    assert run(exported / "model.onnx", tmp_path / "empty.jpeg", **outputs) == 2
    assert (tmp_path / "old").read_text() == "of before"
    (row,) = rows(tmp_path / "new")
    assert "the file is empty" in row["error"]
    assert f"kept as before: {tmp_path / 'old'}\n" in capsys.readouterr().err


def test_a_model_without_a_digest_is_told(exported, jpegs, tmp_path, capsys):
    model = tmp_path / "m.onnx"
    model.write_bytes((exported / "model.onnx").read_bytes()[:-84])
    for _ in range(2):
        assert run(model, next(jpegs.rglob("*.jpeg"))) == 0
    assert capsys.readouterr().err.count(f"{model}: not checked, as it has no digest; ") == 1
    assert run(exported / "model.onnx", next(jpegs.rglob("*.jpeg"))) == 0
    assert "digest" not in capsys.readouterr().err


def test_untrustworthy_archives_are_refused_as_a_whole(exported, tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.jpeg", bytes(20 << 20))
    with zipfile.ZipFile(tmp_path / "outside.zip", "w") as archive:
        archive.writestr("../x.jpeg", b"x")
    (tmp_path / "half.zip").write_bytes(b"PK\x03\x04 and no more")
    for name, reason in (("bomb", "times its size"), ("outside", "points outside"), ("half", "read as a zip")):
        with pytest.raises(InputError, match=reason):
            run(exported / "model.onnx", tmp_path / f"{name}.zip")


def test_exit_code_2_when_no_image_could_be_read(exported, tmp_path):
    (tmp_path / "empty.jpeg").touch()
    assert run(exported / "model.onnx", tmp_path / "empty.jpeg") == 2


def test_zip_stdin_and_folder_give_the_same_answers(exported, jpegs, tmp_path):
    files = sorted(jpegs.rglob("*.jpeg"))
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(jpegs))
        archive.writestr("__MACOSX/._0.jpeg", b"junk")
        archive.writestr("readme.txt", b"no image")
    run(exported / "model.onnx", jpegs, json=tmp_path / "folder.jsonl")
    run(exported / "model.onnx", tmp_path / "all.zip", json=tmp_path / "zip.jsonl")
    folder, archive = rows(tmp_path / "folder.jsonl"), rows(tmp_path / "zip.jsonl")
    assert [row["probability"] for row in archive] == [row["probability"] for row in folder]
    assert archive[0]["file"].startswith(str(tmp_path / "all.zip"))
    done = command(tmp_path, exported / "model.onnx", "-", "--json", "-", stdin=files[0].read_bytes())
    assert json.loads(done.stdout)["probability"] == pytest.approx(folder[0]["probability"], abs=1e-6)


def test_csv_and_table(exported, jpegs, tmp_path, capsys):
    (tmp_path / "bad.jpeg").touch()
    run(exported / "model.onnx", jpegs, tmp_path / "bad.jpeg", csv=tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 13
    assert table[0]["decision"] in ("NORMAL", "PNEUMONIA")
    assert table[-1]["error"]
    assert table[-1]["probability"] == ""
    capsys.readouterr()
    run(exported / "model.onnx", jpegs)
    assert len(capsys.readouterr().out.splitlines()) == 12


def test_threshold_flag_moves_the_decision(exported, jpegs, tmp_path):
    for threshold, decision in ((0.0, "PNEUMONIA"), (1.0, "NORMAL")):
        run(exported / "model.onnx", jpegs, json=tmp_path / "out.jsonl", threshold=threshold)
        assert {row["decision"] for row in rows(tmp_path / "out.jsonl")} == {decision}


def test_overlays_are_written_for_every_image(exported, jpegs, tmp_path):
    run(exported / "model.onnx", jpegs, heatmap=tmp_path / "maps")
    shutil.copytree(jpegs, tmp_path / "again")
    run(exported / "model.onnx", jpegs, tmp_path / "again" / "a" / "1.jpeg", heatmap=tmp_path / "maps")
    written = sorted((tmp_path / "maps").iterdir())
    assert len(written) == 13
    assert {path.name for path in written} >= {"0.jpeg.heatmap.png", "1.jpeg.heatmap.png", "1.jpeg-2.heatmap.png"}
    assert cv2.imread(str(written[0])).shape == (512, 512, 3)


@pytest.mark.parametrize("framing", ["crop", "pad"])
def test_prediction_sees_the_pixels_of_the_dataset(exported_as, framing, tmp_path):
    run_folder = exported_as(framing)
    classifier = Classifier(run_folder / "model.onnx")
    assert (classifier.metadata.framing, classifier.metadata.version) == (framing, 2)
    drawn = cv2.resize(np.random.default_rng(4).integers(0, 256, (6, 9), np.uint8), (500, 300))
    cv2.imwrite(str(tmp_path / "wide.jpeg"), drawn)
    data = (tmp_path / "wide.jpeg").read_bytes()
    expected = classifier.predict(decode(data, 48, framing=framing)[np.newaxis])[0].probability
    assert run(run_folder / "model.onnx", tmp_path / "wide.jpeg", json=tmp_path / "out.jsonl") == 0
    assert rows(tmp_path / "out.jsonl")[0]["probability"] == pytest.approx(expected, abs=1e-8)
    assert classifier.predict_file(tmp_path / "wide.jpeg").probability == expected
    assert expected != classifier.predict(decode(data, 48)[np.newaxis])[0].probability
    assert run(run_folder / "model.onnx", golden=run_folder / "golden.npz") == 0


def test_overlays_show_the_whole_picture(exported_as, tmp_path):
    cv2.imwrite(str(tmp_path / "wide.png"), cv2.resize(np.arange(20, 220, 10, np.uint8).reshape(4, 5), (1000, 600)))
    run(exported_as("crop") / "model.onnx", tmp_path / "wide.png", heatmap=tmp_path / "maps")
    assert cv2.imread(str(tmp_path / "maps" / "wide.png.heatmap.png")).shape == (307, 512, 3)


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (128, 128), (400, 100)])
@pytest.mark.parametrize("framing", ["squeeze", "crop", "pad"])
def test_the_heat_map_lies_over_the_place_that_the_model_saw(framing, width, height):
    """A bright spot in a picture is found in the model's square, and its heat goes back to where the spot was."""
    from export.inference.outputs import overlay

    row, column = int(0.45 * height), int(0.55 * width)
    picture = np.full((height, width), 40, np.uint8)
    picture[row - 6 : row + 6, column - 6 : column + 6] = 250
    square = resize(picture, 64, framing)[:, :, 0]
    heat = np.where(square > 140, 5.0, -1.0).astype(np.float32)
    assert (heat > 0).any()
    coloured = overlay(picture, heat, max(width, height), framing)
    assert coloured.shape == (height, width, 3)
    rows_of, columns_of = np.nonzero(np.ptp(coloured, axis=2) > 20)
    cell = max(width, height) / 64
    assert np.abs(rows_of.mean() - row) < 1 + cell
    assert np.abs(columns_of.mean() - column) < 1 + cell


def test_what_the_crop_cut_off_is_darkened():
    from export.inference.outputs import overlay

    coloured = overlay(np.full((100, 200), 80, np.uint8), np.full((4, 4), -1, np.float32), 200, "crop")
    assert (coloured[:, 50:150] == 80).all()
    assert (coloured[:, :50] == 40).all()
    assert (coloured[:, 150:] == 40).all()


def test_overlay_colours_only_evidence_for_pneumonia():
    from export.inference.outputs import overlay

    image = np.full((32, 32, 1), 100, np.uint8)
    against = overlay(image, np.full((4, 4), -5, np.float32), 32)
    assert (against == 100).all()
    heat = np.full((4, 4), -1, np.float32)
    heat[3, 3] = 6
    coloured = overlay(image, heat, 32)
    assert (coloured[:12, :12] == 100).all()
    assert coloured[-2, -2, 2] > coloured[-2, -2, 0]  # red over blue where it peaks


def test_explain_gives_the_answer_and_the_picture_under_its_heat_map(exported, jpegs, tmp_path):
    from export.inference.outputs import overlay

    classifier, path = Classifier(exported / "model.onnx", two_way=True), next(jpegs.rglob("*.jpeg"))
    answer, found = classifier.predict_file(path), explain(classifier, path, side=64)
    assert found.prediction.probability == answer.probability
    drawn = overlay(decode_whole(path.read_bytes(), 64), answer.heatmap, 64, classifier.metadata.framing)
    assert (cv2.imdecode(np.frombuffer(found.png, np.uint8), cv2.IMREAD_COLOR) == drawn).all()
    assert "data:image/png;base64," in found._repr_html_()
    with pytest.raises(InputError, match=r"gone\.jpeg cannot be read: No such file or directory; give an image file"):
        explain(classifier, tmp_path / "gone.jpeg")


def test_heatmap_of_a_model_without_one_is_refused(tmp_path, tiny_model, exported, jpegs):
    props = {entry.key: entry.value for entry in onnx.load(exported / "model.onnx").metadata_props}
    onnx.save(convert.to_onnx(tiny_model(heatmap=False), props), tmp_path / "plain.onnx")
    assert Classifier(tmp_path / "plain.onnx").predict_file(next(jpegs.rglob("*.jpeg"))).heatmap is None
    with pytest.raises(InputError, match="has no heat map"):
        run(tmp_path / "plain.onnx", jpegs, heatmap=tmp_path / "maps")


def test_golden_self_test(exported, tmp_path, capsys):
    assert run(exported / "model.onnx", golden=exported / "golden.npz") == 0
    assert "agree" in capsys.readouterr().err
    with np.load(exported / "golden.npz") as archive:
        arrays = dict(archive)
    arrays["probability"] = arrays["probability"] + np.float32(0.01)
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(InputError, match="probability differs"):
        run(exported / "model.onnx", golden=tmp_path / "other.npz")
    arrays["images"] = np.where(arrays["images"] > 9, arrays["images"] - 9, 0).astype(np.uint8)
    np.savez(tmp_path / "pixels.npz", **arrays)
    with pytest.raises(InputError, match="decoded pixels differ by up to 9"):
        run(exported / "model.onnx", golden=tmp_path / "pixels.npz")
    (tmp_path / "junk.npz").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"junk\.npz is damaged"):
        run(exported / "model.onnx", golden=tmp_path / "junk.npz")


def without_key(data):
    model = onnx.load_from_string(data)
    kept = [entry for entry in model.metadata_props if entry.key != "threshold"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return sealed(model)


def of_another_project(data):
    model = onnx.load_from_string(data)
    del model.metadata_props[:]
    return model.SerializeToString()


def of_a_newer_version(data):
    model = onnx.load_from_string(data)
    next(entry for entry in model.metadata_props if entry.key == "version").value = "7"
    return sealed(model)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (of_another_project, "not one of this project"),
        (lambda data: data[: len(data) // 2], "not a readable ONNX file"),
        (lambda data: b"", "not a readable ONNX file|not one of this project"),
        (lambda data: b"\x89PNG not a model", "not a readable ONNX file"),
        (without_key, "lacks the metadata threshold"),
        (of_a_newer_version, "newer"),
    ],
)
def test_model_files_that_cannot_be_used(exported, jpegs, tmp_path, damage, reason):
    path = tmp_path / "model.onnx"
    path.write_bytes(damage((exported / "model.onnx").read_bytes()))
    with pytest.raises(ModelFileError, match=reason) as raised:
        Classifier(path)
    assert str(path) in str(raised.value)


def test_command_reports_bad_input_in_one_line_with_exit_code_2(exported, tmp_path):
    shutil.copy(exported / "model.onnx", tmp_path / "m.onnx")
    for arguments in (
        ["none.onnx", "x.jpeg"],
        ["m.onnx", "none.jpeg"],
        ["m.onnx"],
        ["m.onnx", ".", "--batch-size", "0"],
    ):
        done = command(tmp_path, *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(b"python -m export.predict: ")
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (np.zeros((1, 48, 48, 1), np.float32), "float32, not a uint8"),
        (np.zeros((1, 64, 64, 1), np.uint8), r"\[1, 64, 64, 1\], not \[N, 48, 48, 1\]"),
        (np.zeros((48, 48, 1), np.uint8), "not \\[N, 48"),
        (np.zeros((0, 48, 48, 1), np.uint8), "not \\[N, 48"),
        ([[1]], "list, not a uint8"),
    ],
)
def test_wrong_arrays_through_the_api(exported, images, reason):
    with pytest.raises(InputError, match=reason):
        Classifier(exported / "model.onnx").predict(images)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"engine": "foo"}, "engine 'foo' is not one of auto, onnxruntime, openvino"),
        ({"providers": ["Foo"]}, "onnxruntime cannot compute with Foo here; there is .*CPUExecutionProvider"),
        ({"threshold": "0.5"}, "threshold '0.5' is not in 0 to 1"),
        ({"threads": 1.5}, "threads is 1.5; it must be 1 or more"),
        ({"threads": "2"}, "threads is 2; it must be 1 or more"),
    ],
)
def test_wrong_options_through_the_api(exported, options, says):
    with pytest.raises(InputError, match=says):
        Classifier(exported / "model.onnx", **options)


def test_a_provider_that_cannot_start_is_no_silent_change_to_another(exported, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["Foo", "CPUExecutionProvider"])
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda *_, **__: SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"]),
    )
    with pytest.raises(InputError, match="cannot compute with Foo here; there is CPUExecutionProvider"):
        Classifier(exported / "model.onnx", providers=["Foo", "CPUExecutionProvider"])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_reasons_are_one_for_each_image(exported, pictures, count):
    with pytest.raises(InputError, match=f"reasons are {count}, and images 2; give one Reasons for each image"):
        Classifier(exported / "model.onnx").predict(pictures(2), [Reasons()] * count)


def test_a_picture_of_an_explanation_has_a_side(exported, jpegs):
    with pytest.raises(InputError, match="side is 0; it must be 1 pixel or more"):
        explain(Classifier(exported / "model.onnx"), next(jpegs.rglob("*.jpeg")), side=0)


def test_answers_do_not_depend_on_batch_or_threads(exported, pictures):
    images = pictures(9)
    alone = [Classifier(exported / "model.onnx", threads=1).predict(image[np.newaxis])[0] for image in images]
    together = Classifier(exported / "model.onnx", threads=2).predict(images)
    np.testing.assert_allclose([a.probability for a in alone], [b.probability for b in together], atol=1e-6)


def test_heatmap_mean_is_the_logit(exported, pictures):
    for answer in Classifier(exported / "model.onnx").predict(pictures(3)):
        assert answer.probability == pytest.approx(1 / (1 + np.exp(-answer.heatmap.mean())), abs=1e-5)


def test_dicom_is_predicted_like_the_pixels_in_it(exported, tmp_path, pictures):
    pytest.importorskip("pydicom", reason="needs the dicom extra")
    pixels = cv2.normalize(pictures(1, 64)[0], None, 0, 255, cv2.NORM_MINMAX)
    (tmp_path / "x.dcm").write_bytes(dicom(pixels))
    cv2.imwrite(str(tmp_path / "x.png"), pixels)
    run(exported / "model.onnx", tmp_path / "x.dcm", tmp_path / "x.png", json=tmp_path / "out.jsonl")
    scan, image = rows(tmp_path / "out.jsonl")
    assert scan["probability"] == image["probability"]


def read_by(reader, *words):
    """Exit code and standard error of the command in a pipe to another one."""
    command = shlex.join(map(str, [sys.executable, "-m", "export.predict", *words]))
    shell = f"{command} | {reader}; echo ${{PIPESTATUS[0]}} >&2"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    *said, code = done.stderr.splitlines()
    return int(code), "\n".join(said)


@pytest.mark.parametrize("flags", [[], ["--json", "-"], ["--csv", "-"]])
def test_a_reader_that_stops_early_ends_the_command_quietly(exported, jpegs, flags):
    assert read_by("true", exported / "model.onnx", jpegs, "--batch-size", "1", *flags) == (141, "")


@pytest.mark.parametrize("many", [1, 40])
def test_files_are_written_although_the_reader_of_standard_output_stops(exported, jpegs, tmp_path, many):
    """With many rows its end is noticed while they are written, with few at the end."""
    xrays = [jpegs] * many
    flags = ["--json", "-", "--csv", tmp_path / "out.csv", "--heatmap", tmp_path / "maps"]
    code, said = read_by("true", exported / "model.onnx", *xrays, *flags)
    assert (code, f"{12 * many} images: " in said, "Traceback" in said) == (141, True, False)
    run(exported / "model.onnx", *xrays, csv=tmp_path / "read.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "read.csv").read_bytes()
    assert len(list((tmp_path / "maps").iterdir())) == 12 * many


def test_answers_in_dicom_are_written_although_the_reader_stops(four_way, tmp_path, pictures):
    pytest.importorskip("highdicom", reason="needs the dicom-out extra")
    from radiographs import radiograph

    for number in range(3):
        (tmp_path / f"{number}.dcm").write_bytes(radiograph(number))
    xrays = sorted(tmp_path.glob("*.dcm"))
    code, said = read_by("true", four_way / "model.onnx", *xrays, "--dicom-out", tmp_path / "out")
    assert code == 141
    assert "3 Structured Reports" in said
    assert len(list((tmp_path / "out").glob("*.SR.dcm"))) == 3


@pytest.mark.parametrize("flag", ["json", "csv"])
@pytest.mark.parametrize("name", ["model.onnx", "1.png", "link", "maps/../1.png", "x.zip", "golden.npz"])
def test_no_output_replaces_an_input_under_whatever_name(exported, tmp_path, monkeypatch, pictures, flag, name):
    monkeypatch.chdir(tmp_path)
    for file in ("model.onnx", "golden.npz"):
        shutil.copy(exported / file, file)
    cv2.imwrite("1.png", pictures(1)[0])
    with zipfile.ZipFile("x.zip", "w") as archive:
        archive.write("1.png")
    Path("link").symlink_to("1.png")
    Path("maps").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.glob("*.*")}
    for model in ("model.onnx", "."):
        with pytest.raises(InputError, match=f"^--{flag} {name} is an input"):
            run(Path(model), "1.png", "x.zip", golden=Path("golden.npz"), **{flag: Path(name)})
    assert before == {path: path.read_bytes() for path in tmp_path.glob("*.*")}


def test_an_image_of_a_folder_is_not_replaced_and_answers_of_before_are(exported, tmp_path, pictures):
    cv2.imwrite(str(tmp_path / "1.png"), pictures(1)[0])
    with pytest.raises(InputError, match=r"--csv .*1\.png is an input"):
        run(exported / "model.onnx", tmp_path, csv=tmp_path / "1.png")
    for _ in range(2):
        assert run(exported / "model.onnx", tmp_path, csv=tmp_path / "out.csv", json=tmp_path / "out.jsonl") == 0
    with pytest.raises(InputError, match="--json and --csv both name"):
        run(exported / "model.onnx", tmp_path, csv=tmp_path / "out", json=tmp_path / "x" / ".." / "out")


def test_a_heat_map_does_not_replace_an_image(exported, tmp_path, pictures):
    for name in ("1.png", "1.heatmap.png"):
        cv2.imwrite(str(tmp_path / name), pictures(1)[0])
    with pytest.raises(InputError, match=r"--heatmap .* holds .*1\.heatmap\.png, an input that may be replaced"):
        run(exported / "model.onnx", tmp_path, heatmap=tmp_path)
    assert run(exported / "model.onnx", tmp_path / "1.heatmap.png", heatmap=tmp_path / "maps") == 0


def test_what_a_header_says_against_the_image_is_told_with_the_answer(exported, tmp_path, pictures, capsys):
    pytest.importorskip("pydicom", reason="needs the dicom extra")
    pixels = cv2.normalize(pictures(1, 64)[0], None, 0, 255, cv2.NORM_MINMAX)
    (tmp_path / "hand.dcm").write_bytes(
        dicom(pixels, Modality="CR", BodyPartExamined="HAND", ImageType=["DERIVED", "PRIMARY"])
    )
    (tmp_path / "chest.dcm").write_bytes(dicom(pixels, Modality="DX", BodyPartExamined="CHEST", ViewPosition="PA"))
    names = tmp_path / "hand.dcm", tmp_path / "chest.dcm"
    run(exported / "model.onnx", *names, json=tmp_path / "out.jsonl", csv=tmp_path / "out.csv")
    hand, chest = rows(tmp_path / "out.jsonl")
    assert hand["reasons"] == ["body part HAND is not the chest", "derived from another image (DERIVED, PRIMARY)"]
    assert hand["probability"] == chest["probability"]
    assert chest["reasons"] == []
    assert (
        "body part HAND is not the chest; derived from another image (DERIVED, PRIMARY)"
        in (tmp_path / "out.csv").read_text()
    )
    assert Classifier(exported / "model.onnx").predict_file(names[0]).reasons == tuple(hand["reasons"])
    capsys.readouterr()
    run(exported / "model.onnx", *names)
    assert "hand.dcm  (body part HAND is not the chest" in capsys.readouterr().out


def test_a_dark_picture_is_pointed_out(exported, tmp_path, pictures):
    dark = pictures(1, 64)[0] // 16
    cv2.imwrite(str(tmp_path / "dark.png"), dark)
    run(exported / "model.onnx", tmp_path / "dark.png", json=tmp_path / "out.jsonl")
    (row,) = rows(tmp_path / "out.jsonl")
    assert "unusually dark" in row["reasons"][0]
    assert row["decision"] in ("NORMAL", "PNEUMONIA")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, pictures):
    """Twelve pictures that the model of four answers knows, noise, and one that its file speaks against."""
    folder = tmp_path_factory.mktemp("mixed")
    smooth = pictures(12, 96, seed=4)
    for number, picture in enumerate(smooth):
        cv2.imwrite(str(folder / f"{number:02d}.png"), picture)
    noise = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    cv2.imwrite(str(folder / "noise.png"), noise)
    cv2.imwrite(str(folder / "tinted.png"), np.dstack([smooth[0], smooth[0] // 2, smooth[0] // 2]))
    return folder


def test_four_answers_with_their_reasons_in_every_output(four_way, mixed, tmp_path, capsys):
    assert run(four_way / "model.onnx", mixed, json=tmp_path / "out.jsonl", csv=tmp_path / "out.csv") == 0
    said = capsys.readouterr().err
    found = {Path(row["file"]).name: row for row in rows(tmp_path / "out.jsonl")}
    assert list(found["noise.png"]) == [
        "file",
        "probability",
        "decision",
        "threshold",
        "familiarity",
        "reasons",
        "model",
        "engine",
    ]
    assert {row["decision"] for row in found.values()} == {"NORMAL", "PNEUMONIA", "UNCERTAIN", "UNSUITABLE"}
    for name, row in found.items():
        p, given = row["probability"], row["decision"]
        if name == "noise.png":
            assert given == "UNSUITABLE"
            assert row["reasons"][0].startswith(
                "it does not look like the X-rays that the model learned from: its familiarity is 0.0"
            )
            assert row["reasons"][0].endswith(", and 0.04 the least")
        elif name == "tinted.png":
            assert given == "UNSUITABLE"
            assert "in colour: 100 % of the picture" in row["reasons"]
        elif given != "UNSUITABLE":
            assert given == ("NORMAL" if p < 0.35 else "PNEUMONIA" if p >= 0.67 else "UNCERTAIN")
            assert row["reasons"] == (
                ["between the limits 0.35 and 0.67 for a certain answer"] if given == "UNCERTAIN" else []
            )
    decisions = [row["decision"] for row in found.values()]
    counts = [f"{decisions.count(answer)} {answer}" for answer in ("PNEUMONIA", "NORMAL", "UNCERTAIN", "UNSUITABLE")]
    assert f"14 images: {', '.join(counts)} at limits 0.35 and 0.67. For" in said
    with (tmp_path / "out.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            line = found[Path(row["file"]).name]
            assert (row["decision"], float(row["familiarity"])) == (line["decision"], line["familiarity"])
    classifier = Classifier(four_way / "model.onnx")
    for name, row in found.items():
        answer = classifier.predict_file(mixed / name)
        assert (answer.decision, list(answer.reasons)) == (row["decision"], row["reasons"])
        assert answer.familiarity == pytest.approx(row["familiarity"], abs=1e-3)
    run(four_way / "model.onnx", mixed / "noise.png")
    assert "UNSUITABLE  " + str(mixed / "noise.png") + "  (it does not look like the X-rays" in capsys.readouterr().out


@pytest.mark.parametrize(("flags", "threshold"), [({"two_way": True}, 0.49996), ({"threshold": 0.3}, 0.3)])
def test_in_two_ways_the_threshold_alone_decides_and_the_reasons_stay(
    four_way, mixed, tmp_path, capsys, flags, threshold
):
    run(four_way / "model.onnx", mixed, json=tmp_path / "out.jsonl", **flags)
    for row in rows(tmp_path / "out.jsonl"):
        assert row["decision"] == ("PNEUMONIA" if row["probability"] >= threshold else "NORMAL")
        assert row["threshold"] == threshold
    assert rows(tmp_path / "out.jsonl")[-2]["reasons"]  # of the noise
    said = capsys.readouterr().err
    assert "UNSUITABLE" not in said
    assert f"at threshold {threshold:g}" in said
    answer = Classifier(four_way / "model.onnx", **flags).predict_file(mixed / "noise.png")
    assert answer.decision in ("NORMAL", "PNEUMONIA")


def test_no_heat_map_is_drawn_of_what_is_unsuitable(four_way, mixed, tmp_path, capsys):
    run(four_way / "model.onnx", mixed / "noise.png", mixed / "00.png", heatmap=tmp_path / "maps")
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["00.png.heatmap.png"]
    assert "not drawn: 1 heat map of UNSUITABLE images" in capsys.readouterr().err
    run(four_way / "model.onnx", mixed / "noise.png", heatmap=tmp_path / "maps", two_way=True)
    assert (tmp_path / "maps" / "noise.png.heatmap.png").exists()


def test_a_file_of_two_answers_still_gives_two(exported, mixed, tmp_path):
    run(exported / "model.onnx", mixed, json=tmp_path / "out.jsonl")
    found = rows(tmp_path / "out.jsonl")
    assert {row["decision"] for row in found} <= {"NORMAL", "PNEUMONIA"}
    assert {row["familiarity"] for row in found} == {None}
    assert found[-1]["reasons"] == ["in colour: 100 % of the picture"]


def test_what_a_header_says_against_the_image_makes_it_unsuitable(four_way, tmp_path, pictures):
    pytest.importorskip("pydicom", reason="needs the dicom extra")
    pixels = pictures(1, 64, seed=4)[0]
    (tmp_path / "hand.dcm").write_bytes(dicom(pixels, Modality="CR", BodyPartExamined="HAND"))
    (tmp_path / "raw.dcm").write_bytes(dicom(pixels, Modality="DX", PresentationIntentType="FOR PROCESSING"))
    hand, raw = (Classifier(four_way / "model.onnx").predict_file(tmp_path / f"{name}.dcm") for name in ("hand", "raw"))
    assert (hand.decision, hand.reasons) == ("UNSUITABLE", ("body part HAND is not the chest",))
    assert raw.decision != "UNSUITABLE"
    assert "FOR PROCESSING" in raw.reasons[-1]


def test_a_file_whose_familiarity_is_missing_is_refused(four_way, tmp_path):
    from export.graph.canonical import canonical

    model = onnx.load(four_way / "model.onnx")
    props = {entry.key: entry.value for entry in model.metadata_props}
    onnx.save(canonical(model, ["probability", "heatmap"], props), tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="other tensors than its metadata says"):
        Classifier(tmp_path / "m.onnx")
    del props["familiarity_threshold"]
    onnx.save(canonical(model, ["probability", "heatmap"], props), tmp_path / "m.onnx")
    answer = Classifier(tmp_path / "m.onnx").predict(np.full((1, 48, 48, 1), 9, np.uint8))[0]
    assert (answer.decision == "UNSUITABLE", answer.familiarity) == (False, None)


def test_the_golden_examples_hold_familiarity_and_decisions(four_way, tmp_path):
    assert run(four_way / "model.onnx", golden=four_way / "golden.npz") == 0
    with np.load(four_way / "golden.npz") as archive:
        arrays = dict(archive)
    assert arrays["familiarity"].shape == arrays["probability"].shape
    decisions = dict(zip(arrays["names"].tolist(), arrays["decision"].tolist(), strict=True))
    assert (decisions["edge-noise"], decisions["edge-ramp"]) == ("UNSUITABLE", "UNCERTAIN")
    np.savez(tmp_path / "a.npz", **{**arrays, "familiarity": arrays["familiarity"] + np.float32(0.002)})
    with pytest.raises(InputError, match=r"the familiarity differs by 0\.002"):
        run(four_way / "model.onnx", golden=tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **{**arrays, "decision": np.array(["NORMAL"] * len(decisions))})
    with pytest.raises(InputError, match="edge-noise: the answer is UNSUITABLE, not NORMAL"):
        run(four_way / "model.onnx", golden=tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", **{**arrays, "decision": arrays["decision"][1:]})
    with pytest.raises(InputError, match="do not fit together"):
        run(four_way / "model.onnx", golden=tmp_path / "c.npz")


def test_the_same_reason_is_given_once_with_its_count(exported, tmp_path, capsys):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b"no image")
    (folder / "z.png").touch()
    (folder / "notes.txt").write_text("hello")
    assert run(exported / "model.onnx", folder) == 2
    said = capsys.readouterr().err
    assert said.index("(3 such)") < said.index("the file is empty")
    assert "none of 4 images could be read" in said


def test_images_are_known_by_content_and_others_are_counted(exported, jpegs, tmp_path, capsys):
    folder = tmp_path / "odd"
    folder.mkdir()
    data = next(jpegs.rglob("*.jpeg")).read_bytes()
    for name in ("a.jfif", "scan", "b.JPG", "c.dat"):
        (folder / name).write_bytes(data)
    (folder / "notes.txt").write_text("hello")
    (folder / "bitmap.bmp").write_bytes(cv2.imencode(".bmp", np.eye(64, dtype=np.uint8))[1].tobytes())
    run(exported / "model.onnx", folder, json=tmp_path / "out.jsonl")
    assert len(rows(tmp_path / "out.jsonl")) == 4
    said = capsys.readouterr().err
    assert "1 file (not an image)" in said
    assert "BMP images, which are not read" in said


def test_a_run_folder_stands_for_its_model_and_json_names_it(exported, jpegs, tmp_path):
    assert run(exported, jpegs, json=tmp_path / "out.jsonl") == 0
    digest = hashlib.sha256((exported / "model.onnx").read_bytes()).hexdigest()
    assert {row["model"] for row in rows(tmp_path / "out.jsonl")} == {digest[:12]}


def test_a_folder_without_a_model_is_refused(tmp_path, jpegs):
    with pytest.raises(ModelFileError, match=r"model\.onnx is not a file"):
        run(tmp_path, jpegs)


@pytest.mark.parametrize(
    ("sets", "told"), [({"VNNI": False, "AVX2": True}, True), ({"VNNI": True}, False), ({}, False), (None, False)]
)
def test_int8_without_vnni_is_told_once_where_it_is_known(exported, jpegs, tmp_path, monkeypatch, capsys, sets, told):
    from export.graph.quantize import to_int8
    from pneumo_tfds.program import processor

    images = np.stack([decode(path.read_bytes(), 48) for path in sorted(jpegs.rglob("*.jpeg"))])
    file = tmp_path / "model.int8.onnx"
    file.write_bytes(to_int8(exported / "model.onnx", images).SerializeToString())
    monkeypatch.setattr(processor, "instruction_sets", lambda: sets)
    run(file, jpegs)
    assert capsys.readouterr().err.count("no VNNI") == told
    run(exported / "model.onnx", jpegs)
    assert "VNNI" not in capsys.readouterr().err
