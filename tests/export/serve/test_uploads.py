"""The ways to send images: a form, several at once, JSON with base64; and what each refusal tells to do."""

import base64
import json
import subprocess

import cv2
import numpy as np
import pytest

from export import Classifier
from image_files import dicom, picture

pytest.importorskip("fastapi", reason="needs the serve extra")
pytest.importorskip("httpx", reason="needs httpx")


@pytest.fixture(scope="module")
def bodies(jpegs):
    return [file.read_bytes() for file in sorted(jpegs.rglob("*.jpeg"))[:3]]


@pytest.fixture(scope="module")
def expected(exported, bodies):
    classifier = Classifier(exported / "model.onnx", threads=1)
    return [pytest.approx(classifier.predict_bytes(body).probability, abs=1e-6) for body in bodies]


def test_curls_own_forms_are_answered(service, jpegs, expected):
    """`curl -F` is what people try first; `-d` removes line ends, so its JPEG is broken, and they are told."""
    file, address = sorted(jpegs.rglob("*.jpeg"))[0], f"{service.base_url}/v1/predict"

    def curl(*words):
        return json.loads(subprocess.run(["curl", "-s", *words, address], capture_output=True, check=True).stdout)

    for way in (["-F", f"file=@{file}"], ["-F", f"image=@{file}"], ["--data-binary", f"@{file}"]):
        assert curl(*way)["probability"] == expected[0]
    assert curl("-d", f"@{file}")["detail"].endswith("curl -d removes line ends, use curl --data-binary @FILE")
    assert "curl --data-binary @FILE" in curl("-T", str(file))["detail"]


def test_several_files_are_answered_in_their_order_each_by_its_name(service, bodies, expected):
    files = [("file", (f"{place}.jpeg", body)) for place, body in enumerate(bodies)]
    answers = service.post("/v1/predict", files=files).json()["answers"]
    assert [(one["file"], one["probability"]) for one in answers] == [
        (f"{place}.jpeg", value) for place, value in enumerate(expected)
    ]
    assert "heatmap" not in answers[0]


def test_one_bad_file_does_not_stop_the_others(service, bodies, expected):
    files = {"a": ("a.jpeg", bodies[0]), "b": ("b\x1b.txt", b"hello"), "c": ("c.jpeg", bodies[1][:300])}
    answers = service.post("/v1/predict", files=files).json()["answers"]
    assert answers[0]["probability"] == expected[0]
    assert "not a JPEG, PNG or DICOM file" in answers[1]["error"]
    assert answers[1]["file"].isprintable()
    assert "damaged or truncated" in answers[2]["error"]
    none = service.post("/v1/predict", files={"b": ("b.txt", b"hello"), "c": ("c.jpeg", bodies[1][:300])})
    assert none.status_code == 415
    assert none.json()["detail"].startswith("none of 2 images could be answered; the first: the body is not a JPEG")
    assert [one["file"] for one in none.json()["answers"]] == ["b.txt", "c.jpeg"]
    assert "damaged or truncated" in none.json()["answers"][1]["error"]


def test_json_has_one_image_or_several_in_base64(service, bodies, expected):
    encoded = [base64.b64encode(body).decode() for body in bodies]
    assert service.post("/v1/predict", json={"image": encoded[0]}).json()["probability"] == expected[0]
    wrapped = "\n".join(encoded[1][at : at + 76] for at in range(0, len(encoded[1]), 76))
    url = f"data:image/jpeg;base64,{encoded[2]}"
    answers = service.post("/v1/predict", json={"images": [wrapped, url]}).json()["answers"]
    assert [one["probability"] for one in answers] == expected[1:]
    assert [one["file"] for one in answers] == ["image 1", "image 2"]


def test_a_dicom_file_may_come_in_a_form(service, exported):
    pytest.importorskip("pydicom", reason="needs the dicom extra")
    data = dicom(picture(3), Modality="CT")
    answer = service.post("/v1/predict", files={"file": ("a.dcm", data)}).json()
    assert answer["reasons"] == list(Classifier(exported / "model.onnx").predict_bytes(data).reasons)
    assert any("CT" in reason for reason in answer["reasons"])


BASE64 = "base64 -w0 FILE"
FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        ({"content": b"hello", "headers": {"content-type": "text/plain"}}, 415, "curl -F file=@FILE"),
        ({"content": b"II*\0tiff"}, 415, "TIFF, which is not read; convert it to PNG"),
        ({"content": b"{}"}, 400, '{"images": ["<base64>", ...]}'),
        ({"json": {"image": "?"}}, 400, BASE64),
        ({"json": {"image": 3}}, 400, BASE64),
        ({"json": {"images": []}}, 400, '{"image": "<base64>"}'),
        ({"json": {"image": "R0lG", "threshold": 0.3}}, 400, "nothing else in it"),
        ({"json": {"images": ["R0lG"] * 65}}, 413, "65 images are over 64"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "not JSON"),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 400, "not JSON"),
        ({"data": {"threshold": "0.3"}, "files": {"file": b"x"}}, 400, "options in the address (?name=value)"),
        ({"files": [("file", b"x")] * 65}, 400, "Too many files"),
        ({"content": b"--x--\r\n", "headers": FORM}, 400, "the form has no file"),
        ({"content": b"--y", "headers": FORM}, 400, "the form cannot be read"),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400, "Missing boundary"),
        ({"content": b"x", "headers": {"content-encoding": "gzip"}}, 415, "without Content-Encoding"),
        ({"files": {"file": bytes(2_000_001)}}, 413, "over 2 MB; send smaller or fewer images"),
    ],
)
def test_a_refusal_says_how_to_ask(service, request_, status, says):
    answer = service.post("/v1/predict", **request_)
    assert (answer.status_code, says in answer.json()["detail"]) == (status, True), answer.text


def test_unknown_parameters_of_the_address_are_refused(service, bodies):
    for query, says in (
        ("treshold=0.3", "unknown parameter treshold; known are model, heatmap, two_way, threshold"),
        ("threshold=1.5", "threshold: "),
        ("heatmap=perhaps", "heatmap: "),
        ("heatmap=true&x", "unknown parameter x"),
        ("threshold=0.3&threshold=0.4", "parameter threshold is given 2 times; give it once"),
    ):
        answer = service.post(f"/v1/predict?{query}", content=bodies[0])
        assert (answer.status_code, answer.json()["detail"].startswith(says)) == (422, True)
    assert service.get("/v1/model?heatmap=true").status_code == 422
    for address in ("/v1/models", "/metrics", "/healthz", "/readyz", "/docs"):
        refused = service.get(f"{address}?x=b")
        assert refused.status_code == 422
        assert refused.json()["detail"] == "unknown parameter x; this address takes none"
    assert service.post("/v1/predict?model=other", content=bodies[0]).json()["detail"] == (
        "no model is named other; there is model"
    )


def test_a_request_may_bring_its_own_threshold(service, bodies, expected):
    found = {}
    for threshold in (0.0, 1.0):
        answer = service.post(f"/v1/predict?threshold={threshold}", content=bodies[0]).json()
        assert (answer["probability"], answer["threshold"]) == (expected[0], threshold)
        found[threshold] = answer["decision"]
    assert found == {0.0: "PNEUMONIA", 1.0: "NORMAL"}


def test_one_request_may_ask_for_two_answers_only(four_way):
    from http_service import served

    noise = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    body = cv2.imencode(".png", noise)[1].tobytes()
    with served(Classifier(four_way / "model.onnx", threads=1)) as client:
        queries = ("?heatmap=true", "?heatmap=true&two_way=true", "?heatmap=true&threshold=0.5")
        four, two, own = (client.post(f"/v1/predict{query}", content=body).json() for query in queries)
        counted = client.get("/metrics").text
    for decision in ("NORMAL", "PNEUMONIA", "UNSUITABLE"):
        given = [answer["decision"] for answer in (four, two, own)].count(decision)
        assert f'pneumo_decisions_total{{decision="{decision}",model="model"}} {given}.0' in counted
    assert (four["decision"], two["decision"] in ("NORMAL", "PNEUMONIA")) == ("UNSUITABLE", True)
    assert four["reasons"] == two["reasons"]
    heat = Classifier(four_way / "model.onnx", two_way=True).predict_bytes(body).heatmap
    assert four["heatmap"] is None, "of what is UNSUITABLE it means nothing"
    for answer in (two, own):
        np.testing.assert_allclose(answer["heatmap"], heat, atol=1e-4)


def test_an_upload_is_never_written_to_a_disk(service, bodies, monkeypatch):
    import tempfile

    def refuse(*_, **__):
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    padded = bodies[0] + bytes(1_500_000)  # over the size from which Starlette would use a disk
    assert service.post("/v1/predict", files={"file": padded}).status_code == 200


def test_wrong_addresses_and_methods_are_told_what_to_do(service):
    assert "GET /docs" in service.get("/predict").json()["detail"]
    assert "POST to /v1/predict" in service.get("/v1/predict").json()["detail"]
