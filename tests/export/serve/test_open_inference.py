"""The Open Inference Protocol: Triton's own client works against the service, and raw JSON does."""

import base64

import numpy as np
import pytest

from brightness_model import write_model
from export import Classifier

pytest.importorskip("fastapi", reason="needs the serve extra")
pytest.importorskip("httpx", reason="needs httpx")
INFER = "/v2/models/model/infer"


@pytest.fixture(scope="module")
def classifier(four_way):
    return Classifier(four_way / "model.onnx", threads=1)


@pytest.fixture(scope="module")
def client(classifier):
    from http_service import served

    with served({"model": classifier, "other": classifier}) as found:
        yield found


@pytest.fixture(scope="module")
def triton(client):
    library = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    with library.InferenceServerClient(f"{client.base_url.host}:{client.base_url.port}") as found:
        yield library, found


@pytest.fixture(scope="module")
def files(jpegs):
    return [file.read_bytes() for file in sorted(jpegs.rglob("*.jpeg"))[:3]]


def test_tritons_client_learns_what_there_is(triton, classifier):
    _, client = triton
    assert client.is_server_live()
    assert client.is_server_ready()
    assert [client.is_model_ready(name) for name in ("model", "other", "none")] == [True, True, False]
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    found = client.get_model_metadata("model")
    assert {"name": "image", "datatype": "UINT8", "shape": [-1, 48, 48, 1]} in found["inputs"]
    own = {value.name for value in classifier.session.get_outputs()}
    assert {one["name"] for one in found["outputs"]} == own | {"decision", "reasons"}


def test_tritons_client_sends_files(triton, classifier, files):
    library, client = triton
    tensor = library.InferInput("file", [3, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[file] for file in files], dtype=object))
    found = client.infer("model", [tensor], request_id="seven")
    answers = [classifier.predict_bytes(file) for file in files]
    np.testing.assert_allclose(found.as_numpy("probability")[:, 0], [one.probability for one in answers], atol=1e-6)
    np.testing.assert_allclose(found.as_numpy("familiarity")[:, 0], [one.familiarity for one in answers], atol=1e-4)
    np.testing.assert_allclose(found.as_numpy("heatmap"), [one.heatmap for one in answers], atol=1e-4)
    assert found.as_numpy("decision").tolist() == [[one.decision.encode()] for one in answers]
    assert found.get_response()["id"] == "seven"


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_sends_pixels_and_chooses_outputs(triton, classifier, pictures, binary):
    library, client = triton
    images = pictures(2)
    tensor = library.InferInput("image", [2, 48, 48, 1], "UINT8")
    tensor.set_data_from_numpy(images, binary_data=binary)
    wanted = [library.InferRequestedOutput("decision", binary), library.InferRequestedOutput("probability", binary)]
    found = client.infer("other", [tensor], outputs=wanted)
    answers = classifier.predict(images)
    np.testing.assert_allclose(found.as_numpy("probability")[:, 0], [one.probability for one in answers], atol=1e-6)
    decisions = [one.decision.encode() if binary else one.decision for one in answers]
    assert found.as_numpy("decision").ravel().tolist() == decisions
    assert found.as_numpy("heatmap") is None


def test_json_alone_has_files_in_base64(client, classifier, files):
    tensor = {"name": "file", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(files[0]).decode()]}
    answer = client.post(INFER, json={"inputs": [tensor]}).json()
    found = {one["name"]: one["data"] for one in answer["outputs"]}
    expected = classifier.predict_bytes(files[0])
    assert found["probability"] == [pytest.approx(expected.probability, abs=1e-6)]
    assert found["decision"] == [expected.decision]
    assert answer["model_name"] == "model"
    assert answer["parameters"] == {"model": classifier.identity, "engine": classifier.engine}


@pytest.mark.parametrize("wish", [{"two_way": True}, {"threshold": 0.0}, {"threshold": 1.0}])
def test_a_request_may_ask_for_two_answers_and_bring_its_threshold(client, classifier, wish):
    noise = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 1), dtype=np.uint8)
    asked = one(data=noise.ravel().tolist()) | {"parameters": wish}
    found = {tensor["name"]: tensor["data"] for tensor in client.post(INFER, json=asked).json()["outputs"]}
    expected = Classifier(classifier.path, **wish).predict(noise)[0]
    assert found["decision"] == [expected.decision]
    np.testing.assert_allclose(found["heatmap"], expected.heatmap.ravel(), atol=1e-4)


def test_the_output_of_a_model_that_tells_the_subtype_is_among_those_of_the_protocol(tmp_path):
    from http_service import served

    classifier = Classifier(write_model(tmp_path / "model.onnx", subtype=True), threads=1)
    side = classifier.image_size
    image = np.full((1, side, side, 1), 180, np.uint8)
    with served(classifier) as found:
        outputs = found.get("/v2/models/model").json()["outputs"]
        answer = found.post(INFER, json=one(shape=image.shape, data=image.ravel().tolist())).json()
    assert {"name": "subtype", "datatype": "FP32", "shape": [-1, 1]} in outputs
    assert [each["name"] for each in answer["outputs"]].count("subtype") == 1
    (told,) = [each["data"] for each in answer["outputs"] if each["name"] == "subtype"]
    assert told == [pytest.approx(classifier.predict(image)[0].viral, abs=1e-6)]


def test_what_the_clients_of_kserve_and_mlserver_send_besides_is_accepted(client, files):
    tensor = {"name": "file", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(files[0]).decode()]}
    nulls = {"parameters": None, "outputs": None}
    said = {"content_type": "base64", "headers": None}
    for asked in (
        {"id": "1", "model_name": "model", "inputs": [tensor | {"parameters": None}], **nulls},
        {"id": None, "model_name": None, "inputs": [tensor | {"parameters": said}], **nulls},
    ):
        answer = client.post(INFER, json=asked)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1,)])
def test_an_image_that_is_unsuitable_has_a_heat_map_of_zeros_beside_those_of_others(
    client, classifier, pictures, order
):
    noise = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 1), dtype=np.uint8)
    images = np.concatenate([pictures(1), noise])[list(order)]
    expected = classifier.predict(images)
    assert [answer.heatmap is None for answer in expected] == [place == 1 for place in order]
    answer = client.post(INFER, json=one(shape=images.shape, data=images.ravel().tolist())).json()
    found = {tensor["name"]: tensor for tensor in answer["outputs"]}["heatmap"]
    assert found["shape"] == [len(order), *classifier.heatmap_shape]
    maps = [np.zeros(classifier.heatmap_shape) if answer.heatmap is None else answer.heatmap for answer in expected]
    np.testing.assert_allclose(np.reshape(found["data"], found["shape"]), maps, atol=1e-4)


def one(name="image", datatype="UINT8", shape=(1, 48, 48, 1), **more):
    return {"inputs": [{"name": name, "datatype": datatype, "shape": list(shape), **more}]}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 400, "inputs: Field required"),
        (one("pixels"), 400, "inputs.0.name: Input should be 'file' or 'image'"),
        (one(shape=[1, 3, 3, 1], data=[0] * 9), 400, "not UINT8 [n, 48, 48, 1] with n from 1 to 64"),
        (one(data=[0] * 9), 400, "image has 9 values, not 2304 whole numbers from 0 to 255"),
        (one(data=[300] * 2304), 400, "whole numbers from 0 to 255"),
        (one(data=[0.5] * 2304), 400, "whole numbers from 0 to 255"),
        (one(data=[[1], [2, 3]]), 400, "see /v2/models/NAME"),
        (one(), 400, "image has 1 values"),
        (one("file", "BYTES", [2], data=["R0lG"]), 400, "file has 1 elements, not 2"),
        (one("file", "BYTES", [1], data=["?"]), 400, "not base64"),
        (one("file", "BYTES", [1], data=["R0lGODlh"]), 415, "not a JPEG, PNG or DICOM file"),
        (one("file", "BYTES", [1], data=["/9j/4AAA"]), 422, "file 1: "),
        (one("file", "BYTES", [65], data=["R0lG"] * 65), 400, "with n from 1 to 64"),
        (one("file", "BYTES", [1, 1], data=[["R0lG", "AAAA"]]), 400, "file has 2 elements, not 1"),
        (one("file", "BYTES", [1], data=[[]]), 400, "file has 0 elements, not 1"),
        (one("file", "BYTES", [1], parameters={"binary_data_size": 4}), 400, "0 bytes follow the header"),
        (one(data=[0] * 2304, parameters={"x": 1}), 400, "inputs.0.parameters.x: Extra inputs are not permitted"),
        (one(data=[0] * 2304) | {"parameters": {"two_ways": True}}, 400, "parameters.two_ways: Extra inputs"),
        (one(data=[0] * 2304) | {"parameters": {"threshold": 2}}, 400, "parameters.threshold: "),
        (one(data=[0] * 2304) | {"model_name": "other"}, 400, "model_name is other, and the address names model; "),
        (one(data=[0] * 2304) | {"threshold": 0.3}, 400, "threshold: Extra inputs are not permitted"),
        (one(data=[0] * 2304) | {"outputs": [{"name": "decision", "parameters": {"classification": 1}}]}, 400, "Extra"),
        (one(data=[0] * 2304) | {"outputs": [{"name": "odds"}]}, 400, "no output odds"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(client, body, status, says):
    answer = client.post(INFER, json=body)
    assert (answer.status_code, says in answer.json()["error"]) == (status, True), answer.text


def test_parameters_of_the_address_are_refused(client):
    for answer in (client.post(f"{INFER}?two_way=true", json={}), client.get("/v2/models/model?x=b")):
        assert (answer.status_code, "; this address takes none" in answer.json()["error"]) == (400, True)


def test_unknown_models_versions_and_headers_are_refused(client):
    assert client.get("/v2/models/none").json() == {"error": "no model is named none; there is model, other"}
    assert client.get("/v2/models/model/versions/2").status_code == 404
    assert client.get("/v2/models/model/versions/1").status_code == 200
    for length in ("-1", "x", "99"):
        answer = client.post(INFER, content=b"{}", headers={"Inference-Header-Content-Length": length})
        assert answer.status_code == 400
