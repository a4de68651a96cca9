"""What docs/how-to/predict-and-serve.md shows for the service is run as it stands there, on another port."""

import json
import re
import subprocess
import sys

import cv2
import pytest

from export import Classifier

pytest.importorskip("fastapi", reason="needs the serve extra")
pytest.importorskip("httpx", reason="needs httpx")

from http_service import ROOT, served

PAGE = (ROOT / "docs/how-to/predict-and-serve.md").read_text(encoding="utf-8").partition("## As a service")[2]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
CURLS = [line for _, text in BLOCKS for line in text.splitlines() if "curl " in line]


@pytest.fixture(scope="module")
def place(exported, jpegs, tmp_path_factory):
    """A folder with the files that the page names, and the address of a service."""
    folder = tmp_path_factory.mktemp("page")
    data = next(jpegs.rglob("*.jpeg")).read_bytes()
    (folder / "chest.jpeg").write_bytes(data)
    cv2.imwrite(str(folder / "other.png"), cv2.imread(str(next(jpegs.rglob("*.jpeg")))))
    classifier = Classifier(exported / "model.onnx", threads=1)
    with served({"model": classifier, "int8": classifier}) as client:
        yield folder, f"{client.base_url.host}:{client.base_url.port}"


def test_the_page_has_commands():
    assert len(CURLS) >= 8
    assert [kind for kind, text in BLOCKS if "tritonclient" in text] == ["python"]


@pytest.mark.parametrize("line", CURLS)
def test_every_curl_of_the_page_is_answered(line, place):
    folder, address = place
    command = line.replace("127.0.0.1:8000", address).replace("curl ", "curl --silent --show-error --fail-with-body ")
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert {"answers", "probability", "classes", "status"} & set(answer)
    assert ("heatmap" in answer) == ("heatmap=true" in line)


def test_the_python_example_of_the_page_runs(place):
    pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    folder, address = place
    (example,) = [text for kind, text in BLOCKS if kind == "python"]
    program = example.replace("127.0.0.1:8000", address)
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"\[\[b'(NORMAL|PNEUMONIA)'\]\] \[\[0\.\d+\]\]", done.stdout)
