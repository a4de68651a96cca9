"""The browser page and the Node example, in a real headless browser where there is one."""

import http.client
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from export import Classifier
from export.web import server as web
from pneumo_tfds.program.errors import InputError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NODE = shutil.which("node")
HERE = Path(__file__).parent
WEB = Path(web.__file__).parent
needs_runtime = pytest.mark.skipif(
    not (NODE and (WEB / "node_modules" / "onnxruntime-web").is_dir()),
    reason="needs node, and npm ci --prefix export/web",
)
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and (WEB / "node_modules" / "playwright-core").is_dir()),
    reason="needs chromium, and npm ci --prefix export/web",
)


@pytest.fixture
def address(exported):
    """The page of the tiny model, served."""
    server = web.make_server(web.site(exported / "model.onnx", exported / "golden.npz"), 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address
    server.shutdown()
    server.server_close()
    thread.join()


def get(address, path, method="GET", **headers):
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


@pytest.fixture(scope="module")
def xrays(tmp_path_factory):
    """Phantoms at full size as JPEG and PNG, and one file that is not an image."""
    from pneumo_tfds.phantoms.drawing import render

    folder = tmp_path_factory.mktemp("web-xrays")
    for number, kind in enumerate(("normal", "bacteria", "virus")):
        drawn = render(7, f"p{number}", f"{number}.jpeg", kind)
        cv2.imwrite(str(folder / f"{number}-{kind}.jpeg"), drawn, [cv2.IMWRITE_JPEG_QUALITY, 90])
        cv2.imwrite(str(folder / f"{number}-{kind}.png"), cv2.resize(drawn, (180, 140), interpolation=cv2.INTER_AREA))
    (folder / "not-an-image.jpeg").write_text("hello")
    return folder


@needs_runtime
def test_node_example_agrees_with_keras(exported):
    done = subprocess.run(
        [NODE, WEB / "predict.mjs", exported / "model.onnx", exported / "golden.npz"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "agrees with Keras" in done.stdout
    with np.load(exported / "golden.npz") as golden:
        expected = golden["probability"][:, 0]
    found = [float(line.split()[0]) for line in done.stdout.splitlines()[:-1]]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@needs_runtime
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("truncated", "ends too early|lacks the metadata"),
        ("foreign", "lacks the metadata"),
        ("missing key", "lacks the metadata threshold"),
        ("newer", "newer"),
    ],
)
def test_javascript_refuses_models_of_other_projects(exported, tmp_path, damage, reason):
    import onnx

    model = onnx.load(exported / "model.onnx")
    entries = {entry.key: entry.value for entry in model.metadata_props}
    if damage == "foreign":
        entries = {}
    elif damage == "missing key":
        del entries["threshold"]
    elif damage == "newer":
        entries["version"] = "7"
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, entries)
    data = model.SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data[:-200] if damage == "truncated" else data)
    arguments = [NODE, WEB / "predict.mjs", tmp_path / "m.onnx", exported / "golden.npz"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert re.search(reason, done.stderr)


@needs_runtime
@needs_browser
def test_page_in_a_browser(exported, address, xrays):
    done = subprocess.run(
        [NODE, HERE / "browser_check.mjs", "http://{}:{}/".format(*address), CHROMIUM, xrays],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["errors"] == []
    assert seen["isolated"] is True

    # Images never leave: nothing but GET to this server, and no request at all while images are answered.
    home = "http://{}:{}/".format(*address)
    assert all(method == "GET" and url.startswith((home, "data:", f"blob:{home}")) for method, url in seen["requests"])
    assert seen["afterImages"] == seen["beforeImages"]

    # The same answers as Python: within 1e-4 on the same pixels, within 0.01 when the browser decodes the file.
    assert seen["golden"].startswith("Golden check passed")
    assert float(seen["goldenFigures"]["tensors"]) <= 1e-4
    assert float(seen["goldenFigures"]["files"]) <= 0.01
    assert int(seen["goldenFigures"]["levels"]) <= 4
    classifier = Classifier(exported / "model.onnx")
    cards = {card["name"]: card for card in seen["cards"]}
    assert cards.pop("not-an-image.jpeg")["decision"] == "Not read"
    assert len(cards) == 6
    for name, card in cards.items():
        answer = classifier.predict_file(xrays / name)
        assert card["probability"] == pytest.approx(answer.probability, abs=0.01)
        assert card["label"].startswith(f"{name}: {card['decision']}")
    assert "6 images" in seen["status"]
    assert "1 could not be read" in seen["status"]

    # The threshold by keyboard, the heat map's switch, and every control within reach of Tab and with a name.
    assert set(seen["atZero"]) == {"PNEUMONIA", "Not read"}
    assert set(seen["atOne"]) == {"NORMAL", "Not read"}
    assert seen["atReset"] == [card["decision"] for card in seen["cards"]]
    assert seen["colouredWithout"] == 0
    assert seen["reachable"] == ["files", "threshold", "reset", "heat", "golden", "save", "clear"]
    assert seen["unlabelled"] == []
    assert seen["afterClear"] == 0


@needs_runtime
def test_server_sends_listed_files_only_with_a_strict_policy(address):
    response, body = get(address, "/")
    assert response.status == 200
    assert b"nothing is sent anywhere" in body
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "http" not in policy
    for path in ("/../server.py", "/server.py", "/node_modules/x", "//etc/passwd", "/%2e%2e/server.py"):
        assert get(address, path)[0].status == 404
    assert get(address, "/", Host="evil.example:80")[0].status == 421
    assert get(address, "/", method="POST")[0].status == 501
    response, body = get(address, "/model.onnx", method="HEAD")
    assert (response.status, body) == (200, b"")


def test_page_loads_nothing_from_another_host():
    for path in (WEB / "page").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "http:" not in text
        assert "https:" not in text


def test_missing_runtime_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(web, "RUNTIME", tmp_path)
    with pytest.raises(InputError, match=r"run: npm ci --prefix .*web"):
        web.site(tmp_path / "model.onnx")


def test_port_in_use(tmp_path):
    with web.make_server({}, 0) as taken, pytest.raises(InputError, match="--port"):
        web.make_server({}, taken.server_address[1])


def test_lock_file_is_pinned_and_names_no_host():
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert "resolved" not in (WEB / "package-lock.json").read_text()
    wanted = json.loads((WEB / "package.json").read_text())["dependencies"]["onnxruntime-web"]
    assert lock["packages"]["node_modules/onnxruntime-web"]["version"] == wanted
