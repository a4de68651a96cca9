"""The page for app developers: its code and its example programs give the answers of the golden file."""

import importlib.util
import re
import shutil
import struct
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from export import Classifier
from export.graph.any_size import to_any_size
from export.inference import golden
from pneumo_tfds.decode.reasons import reasons_to_doubt

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PACKAGES = ROOT / "export" / "web" / "node_modules"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LARGEST = 0.01
"""Difference of a probability from Keras's for the file of any size, on the golden files."""


PAGE = ROOT / "docs" / "how-to" / "onnx-in-an-app.md"


def code(*titles):
    """Return the names that blocks of the page define, each found by the comment in its first line."""
    names = {}
    for title in titles:
        [block] = re.findall(rf"```python\n# {title}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        exec(block, names)
    return names


@pytest.fixture(scope="module")
def files(four_way, tmp_path_factory):
    """The golden files of a run as files, the model of any size beside them, and what Keras answers."""
    folder = tmp_path_factory.mktemp("examples")
    arrays = golden.read(four_way / "golden.npz")
    for number in range(7):
        (folder / str(arrays["names"][number])).write_bytes(arrays[f"file_{number}"].tobytes())
    metadata = Classifier(four_way).metadata
    model = to_any_size(onnx.load(four_way / "model.onnx"), metadata.image_size, metadata.framing)
    onnx.save(model, folder / "model.any_size.onnx")
    return folder


@pytest.fixture(scope="module")
def expected(four_way):
    """Name of a golden file to its pixels, Keras's probability and the answer; without the one of 16 bits."""
    arrays = golden.read(four_way / "golden.npz")
    columns = (arrays["names"][:7].tolist(), arrays["images"], arrays["probability"][:, 0].tolist(), arrays["decision"])
    return {name: row for name, *row in zip(*columns, strict=False) if "16-bit" not in name}


@pytest.fixture(scope="module")
def unusual(files, tmp_path_factory):
    """A picture with a grey ICC profile, one on its side and one that is partly transparent."""
    folder = tmp_path_factory.mktemp("unusual")
    rows, columns = np.mgrid[:300, :400]
    grey = (120 + 60 * np.sin(rows / 31) + 50 * np.cos(columns / 23)).astype(np.uint8)
    picture, turned = Image.fromarray(grey), Image.Exif()
    turned[0x0112] = 6  # orientation
    picture.save(folder / "profile.jpeg", quality=95, icc_profile=grey_profile(1.0))
    picture.save(folder / "turned.jpeg", quality=95, exif=turned)
    picture.putalpha(Image.fromarray((columns < 250).astype(np.uint8) * 255))
    picture.save(folder / "transparent.png")
    return sorted(folder.iterdir())


def grey_profile(gamma):
    """Return a grey ICC profile (version 2) of one curve; Pillow makes colour profiles alone."""
    curve = b"curv" + struct.pack(">IIHH", 0, 1, round(gamma * 256), 0)
    white = b"XYZ " + struct.pack(">I3i", 0, *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    text = b"desc" + struct.pack(">II5s", 0, 5, b"grey\0") + bytes(78 + 5)
    text += bytes(-len(text) % 4)
    tags, position = b"", 128 + 4 + 3 * 12
    for name, content in ((b"desc", text), (b"wtpt", white), (b"kTRC", curve)):
        tags += struct.pack(">4sII", name, position, len(content))
        position += len(content)
    head = struct.pack(">I4sI4s4s4s12x4s", position, b"lcms", 0x02100000, b"mntr", b"GRAY", b"XYZ ", b"acsp")
    head += bytes(68 - len(head)) + white[8:] + bytes(48)
    return head + struct.pack(">I", 3) + tags + text + white + curve


def unusual_answers(paths, run):
    """Name of each file to its pixels, its probability and the answer."""
    classifier, found = Classifier(run), {}
    for path in paths:
        image = classifier.decode(path.read_bytes())
        outputs = classifier.predict_batch(image[None])
        answer = code("answer")["answer_of"](classifier.session.get_modelmeta().custom_metadata_map, outputs)
        found[path.name] = (image, float(outputs["probability"][0, 0]), answer)
    return found


@pytest.fixture(scope="module")
def unfit(tmp_path_factory):
    """Two pictures that no answer is given to, and why."""
    folder, found = tmp_path_factory.mktemp("unfit"), {}
    for name, shape in (("small.png", (40, 23)), ("stretched.png", (100, 401)), ("narrow.png", (201, 100))):
        Image.fromarray(np.full(shape, 90, np.uint8)).save(folder / name)
        [found[folder / name]] = reasons_to_doubt(
            (folder / name).read_bytes(), np.zeros((4, 4), np.uint8), model_side=48
        ).unfit
    return found


def check_unfit(lines, unfit):
    """Every picture is UNSUITABLE by what its file says, in the words of the command."""
    wanted = [f"UNSUITABLE {path} ({why})" for path, why in unfit.items()]
    assert [line.partition(" ")[2] for line in lines] == wanted


def lines_of(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.splitlines()


def half_a_jpeg(files, folder):
    data = next(files.glob("*.jpeg")).read_bytes()
    (folder / "half.jpeg").write_bytes(data[: len(data) // 2])
    return folder / "half.jpeg"


def refused(*command):
    """Run a program that must refuse, and return the only line that it says."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in (1, 2)
    assert not done.stdout
    return done.stderr


def printed(*command, **options):
    """Run a program, and return what it prints for each image."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=120, **options
    )
    assert done.returncode == 0, done.stderr
    rows = map(str.split, done.stdout.splitlines())
    return {Path(name).name: (float(value), *answer) for value, *answer, name in rows}


def check(found, expected, largest=LARGEST):
    assert set(found) == set(expected)
    for name, (_, probability, answer) in expected.items():
        assert found[name][0] == pytest.approx(probability, abs=largest), name
        assert found[name][1:] in ((), (answer,)), name


@pytest.mark.parametrize(("titles", "levels"), [(["OpenCV"], 0), (["any size", "Pillow"], 1)])
def test_the_preprocessing_of_the_page_is_exact(titles, levels, files, expected, unusual, four_way):
    side, pixels = Classifier(four_way).image_size, code(*titles)["pixels"]
    wanted = {files / name: row[0] for name, row in expected.items()}
    wanted |= {path: unusual_answers([path], four_way)[path.name][0] for path in unusual}
    for path, image in wanted.items():
        if titles == ["OpenCV"] and path.name == "transparent.png":
            with pytest.raises(ValueError, match="without transparency"):
                pixels(str(path), side)
            continue
        found = pixels(str(path), side)
        assert found.dtype == np.uint8
        assert np.abs(found[0].astype(int) - image).max() <= levels, path.name
    with pytest.raises(ValueError, match=r"16 bits|of 8 bits"):
        pixels(str(files / "wide-16-bit.png"), side)


def test_the_answer_of_the_page_is_that_of_the_classifier(files, expected, unusual, four_way, tmp_path):
    page, classifier = code("any size", "answer"), Classifier(four_way)
    outputs_of, answer_of = page["outputs_of"], page["answer_of"]
    metadata = classifier.session.get_modelmeta().custom_metadata_map
    arrays = golden.read(four_way / "golden.npz")
    for number, decision in enumerate(arrays["decision"]):
        assert answer_of(metadata, classifier.predict_batch(arrays["images"][number : number + 1])) == decision
    assert set(arrays["decision"]) > {"UNSUITABLE"}
    wanted = {files / name: row for name, row in expected.items()}
    wanted |= {path: unusual_answers([path], four_way)[path.name] for path in unusual}
    for path, (_, probability, _) in wanted.items():
        found = outputs_of(str(files / "model.any_size.onnx"), str(path))
        assert float(found["probability"][0, 0]) == pytest.approx(probability, abs=LARGEST), path.name
    with pytest.raises(OSError, match="truncated"):
        outputs_of(str(files / "model.any_size.onnx"), str(half_a_jpeg(files, tmp_path)))
    with pytest.raises(ValueError, match="has 16 bits"):
        outputs_of(str(files / "model.any_size.onnx"), str(files / "wide-16-bit.png"))


def test_python_with_onnxruntime(files, expected, unusual, unfit, four_way):
    command = [sys.executable, EXAMPLES / "predict.py", files / "model.any_size.onnx"]
    wanted = expected | unusual_answers(unusual, four_way)
    found = printed(*command, *(files / name for name in expected), *unusual)
    check(found, wanted)
    assert all(len(row) == 2 for row in found.values())  # the answer too
    assert "has 16 bits" in refused(*command, files / "wide-16-bit.png")
    check_unfit(lines_of(*command, *unfit), unfit)


def test_opencv_alone(files, expected, unusual, four_way):
    command = [sys.executable, EXAMPLES / "predict_opencv.py", four_way / "model.onnx", Classifier(four_way).image_size]
    opaque = [path for path in unusual if path.name != "transparent.png"]
    found = printed(*command, *(files / name for name in expected), *opaque)
    check(found, expected | unusual_answers(opaque, four_way), 1e-4)
    for path in (files / "wide-16-bit.png", *(set(unusual) - set(opaque))):
        assert "8 bits without transparency" in refused(*command, path)


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino (pip install openvino)")
def test_python_with_openvino(files, expected):
    program = EXAMPLES / "predict_openvino.py"
    check(printed(sys.executable, program, files / "model.any_size.onnx", *(files / x for x in expected)), expected)


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_cpp_with_openvino(files, expected, unfit, four_way, tmp_path):
    pytest.importorskip("openvino", reason="needs openvino (pip install openvino)")
    [lines] = re.findall(r"```bash\n(OV=[^\n]*\ng\+\+[^\n]*)\n", PAGE.read_text(encoding="utf-8"))
    lines = lines.replace("(python ", f"({sys.executable} ").replace("docs/examples", str(EXAMPLES))
    subprocess.run(["bash", "-ec", lines], check=True, cwd=tmp_path)
    program, model, picture = tmp_path / "predict", files / "model.any_size.onnx", tmp_path / "picture.pgm"
    found = {}
    for name in expected:
        Image.open(files / name).convert("L").save(picture)
        found[name] = printed(program, model, picture, "jpeg" if name.endswith("jpeg") else "png")[picture.name]
    check(found, expected)
    assert all(len(row) == 2 for row in found.values())  # the answer too
    for path, why in unfit.items():
        Image.open(path).save(picture)
        [line] = lines_of(program, model, picture, "png")
        assert line.endswith(f"UNSUITABLE {picture} ({why})")
    small = shutil.copy(picture, tmp_path / "small.pgm")
    picture.write_bytes(picture.read_bytes()[:1000])
    assert "is cut off" in refused(program, model, picture, "png")
    assert refused(program, model).startswith("usage: ")
    assert "pictures of any size" in refused(program, four_way / "model.onnx", small, "png")


@pytest.mark.skipif(
    not (shutil.which("node") and (PACKAGES / "sharp").is_dir()), reason="needs node, and npm ci --prefix export/web"
)
def test_node(files, expected, unusual, unfit, four_way, tmp_path):
    for name in ("predict.mjs", "answer.mjs"):
        shutil.copy(EXAMPLES / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    command = ["node", tmp_path / "predict.mjs", files / "model.any_size.onnx"]
    found = printed(*command, *(files / name for name in expected), *unusual)
    check(found, expected | unusual_answers(unusual, four_way))
    assert all(len(row) == 2 for row in found.values())  # the answer too
    assert "has 16 bits" in refused(*command, files / "wide-16-bit.png")
    check_unfit(lines_of(*command, *unfit), unfit)
    assert refused(*command, half_a_jpeg(files, tmp_path))


@pytest.mark.skipif(
    not (CHROMIUM and (PACKAGES / "playwright-core").is_dir()), reason="needs chromium, and npm ci --prefix export/web"
)
def test_browser(files, expected, unusual, unfit, four_way, tmp_path, monkeypatch):
    shutil.copy(EXAMPLES / "predict.html", tmp_path / "index.html")
    shutil.copy(EXAMPLES / "answer.mjs", tmp_path)
    shutil.copy(files / "model.any_size.onnx", tmp_path)
    (tmp_path / "ort").symlink_to(PACKAGES / "onnxruntime-web" / "dist")

    monkeypatch.setitem(SimpleHTTPRequestHandler.extensions_map, ".mjs", "text/javascript")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/"
        script = Path(__file__).parent / "example_check.mjs"
        found = printed("node", script, address, CHROMIUM, *(files / name for name in expected), *unusual)
        check(found, expected | unusual_answers(unusual, four_way))
        assert all(len(row) == 2 for row in found.values())  # the answer too
        command = ["node", script, address, CHROMIUM, files / "wide-16-bit.png"]
        said = subprocess.run([str(x) for x in command], capture_output=True, text=True, check=True).stdout
        assert said.startswith("16 bits")
        for path, why in unfit.items():
            [line] = lines_of("node", script, address, CHROMIUM, path)
            assert line.endswith(f"UNSUITABLE ({why}) {path}")
    finally:
        server.shutdown()
        server.server_close()
