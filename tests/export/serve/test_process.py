"""The command as a process: signals, request ids, idle connections, and what is refused at once."""

import contextlib
import http.client
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from export import Classifier

pytest.importorskip("fastapi", reason="needs the serve extra")
httpx = pytest.importorskip("httpx", reason="needs httpx")

from export.serve.__main__ import Serve, limits_of  # noqa: E402
from export.serve.batching import BatchLimits  # noqa: E402
from http_service import ROOT, served, started  # noqa: E402

IDLE = 600


@pytest.fixture(scope="module")
def body(jpegs):
    return next(jpegs.rglob("*.jpeg")).read_bytes()


def connect(url):
    return socket.create_connection((url.split("/")[-1].split(":")[0], int(url.rsplit(":", 1)[1])), timeout=30)


def wait_until(client, text):
    """Ask for the metrics until they have a text."""
    deadline = time.monotonic() + 30
    while text not in (found := client.get("/metrics").text):
        assert time.monotonic() < deadline, found


def head(body, *more):
    lines = ["POST /v1/predict HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_sigterm_answers_what_was_begun_refuses_what_is_new_and_ends_well(exported, body):
    with started(exported / "model.onnx", "--threads", "1") as (process, url):
        with connect(url) as begun, connect(url) as idle:
            begun.sendall(head(body) + body[:100])
            assert httpx.get(f"{url}/healthz").status_code == 200  # so the head has been read
            process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                try:
                    connect(url).close()
                except OSError:
                    break
            else:
                pytest.fail("new connections are taken still")
            assert idle.recv(1) == b"", "nothing was begun on it"
            begun.sendall(body[100:])
            answer = begun.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert process.wait(20) == 0


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_clients_that_keep_their_connections_lose_no_request_at_sigterm(exported, body):
    def ask_until_told_to_close(number):
        with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)) as client:
            for _ in range(10_000):
                client.request("POST", "/v1/predict", body)
                answer = client.getresponse()
                assert (answer.status, bool(answer.read())) == (200, True)
                asked.set()
                if answer.getheader("connection") == "close":
                    return True
        return False

    asked = threading.Event()
    with (
        started(exported / "model.onnx", "--threads", "1") as (process, url),
        ThreadPoolExecutor(8) as clients,
    ):
        told = clients.map(ask_until_told_to_close, range(8))
        assert asked.wait(30)
        process.send_signal(signal.SIGTERM)
        assert list(told) == [True] * 8
        assert process.wait(20) == 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of Unix")
def test_sighup_exchanges_the_model_and_the_log_has_the_ids_of_requests(exported, four_way, body, tmp_path):
    path = shutil.copy(exported / "model.onnx", tmp_path / "model.onnx")
    errors = tmp_path / "log.txt"
    with errors.open("wb") as log, started(path, "--access-log", "--threads", "1", stderr=log) as (process, url):
        old = httpx.post(f"{url}/v1/predict", content=body, headers={"X-Request-ID": "mine-1"})
        assert old.headers["x-request-id"] == "mine-1"
        shutil.copy(four_way / "model.onnx", path)
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while 'result="done"' not in httpx.get(f"{url}/metrics").text and time.monotonic() < deadline:
            pass
        new = httpx.post(f"{url}/v1/predict", content=body, headers={"X-Request-ID": "bad id"})
        assert len(new.headers["x-request-id"]) == 32, "an id that could forge a line of the log is replaced"
        assert new.json()["probability"] != old.json()["probability"]
        process.terminate()
        assert process.wait(20) == 0
    lines = errors.read_text()
    assert "id=mine-1 POST /v1/predict 200 " in lines
    assert f"id={new.headers['x-request-id']} POST /v1/predict 200 " in lines
    assert "model model was exchanged" in lines
    assert "Traceback" not in lines


def test_flags_are_limits_in_bytes_and_seconds():
    words = {"max_megabytes": 0.25, "max_requests": 5, "batch_size": 3, "batch_wait": 40.0, "queue": 7}
    limits = limits_of(Serve(models=("m.onnx",), **words))
    assert (limits.body_bytes, limits.requests) == (250_000, 5)
    assert limits.batch == BatchLimits(largest=3, wait=0.04, queue=7)
    assert limits_of(Serve(models=("m.onnx",))).body_bytes == 32_000_000


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_the_command_obeys_its_limits_and_waits_no_longer_than_asked(exported, body):
    words = ("--threads", "1", "--max-megabytes", "0.01", "--stop-seconds", "1")
    with started(exported / "model.onnx", *words) as (process, url), connect(url) as begun:
        assert httpx.post(f"{url}/v1/predict", content=bytes(10_001)).status_code == 413
        assert httpx.post(f"{url}/v1/predict", content=bytes(10_000)).status_code == 415
        begun.sendall(head(body[:100]) + body[:10])
        assert httpx.get(f"{url}/healthz").status_code == 200  # so the head has been read
        process.send_signal(signal.SIGTERM)
        process.wait(20)  # by default 30 seconds are left to the request that never ends


def test_a_head_of_megabytes_is_refused(exported):
    with started(exported / "model.onnx", "--threads", "1") as (_, url):
        assert httpx.get(f"{url}/healthz", headers={"X": 30_000 * "x"}).status_code == 200
        try:
            status = httpx.get(f"{url}/healthz", headers={"X": 3_000_000 * "x"}).status_code
        except httpx.TransportError:  # refused while it was sent
            status = 400
        assert status == 400


def test_idle_connections_are_no_load(exported, body):
    with served(Classifier(exported / "model.onnx", threads=1), requests=2) as client, contextlib.ExitStack() as idle:
        for _ in range(IDLE):
            idle.enter_context(socket.create_connection((client.base_url.host, client.base_url.port)))
        assert client.post("/v1/predict", content=body).status_code == 200


def test_more_requests_at_once_than_allowed_are_refused_before_their_bodies(exported, body):
    limit = {"requests": 2, "body_seconds": 20.0}
    with served(Classifier(exported / "model.onnx", threads=1), **limit) as client, contextlib.ExitStack() as open_:
        address = (client.base_url.host, client.base_url.port)
        slow = [open_.enter_context(socket.create_connection(address, timeout=20)) for _ in range(2)]
        for one in slow:
            one.sendall(head(body) + body[:10])
        wait_until(client, "pneumo_active_requests 2.0")
        answer = client.post("/v1/predict", content=body)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "2 requests are being answered already" in answer.json()["detail"]
        assert "error" in client.post("/v2/models/model/infer", content=b"{}").json()
        for one in slow:
            one.sendall(body[10:])
            assert one.recv(12) == b"HTTP/1.1 200"
        assert client.post("/v1/predict", content=body).status_code == 200


def test_a_failure_is_answered_with_the_id_under_which_the_log_has_it(exported, body, monkeypatch, caplog):
    classifier = Classifier(exported / "model.onnx", threads=1)

    def fail(*_):
        raise RuntimeError("a bug of ours")

    with served(classifier) as client:
        monkeypatch.setattr(classifier, "predict", fail)
        answer = client.post("/v1/predict", content=body, headers={"X-Request-ID": "case-7"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "case-7")
    assert "case-7" in answer.json()["detail"]
    assert "a bug of ours" not in answer.text
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR and one.name == "export.serve.traffic"]
    assert (record.getMessage(), str(record.exc_info[1])) == ("id=case-7", "a bug of ours")


def test_clients_that_leave_in_the_middle_do_no_harm(exported, body, caplog):
    with served(Classifier(exported / "model.onnx", threads=1), requests=20) as client:
        for cut in (10, len(body) // 2, len(body) - 1) * 4:
            with socket.create_connection((client.base_url.host, client.base_url.port)) as one:
                one.sendall(head(body) + body[:cut])
        answers = [client.post("/v1/predict", content=body) for _ in range(3)]
        wait_until(client, 'status="499"} 12.0')
        wait_until(client, "pneumo_active_requests 0.0")
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR], "it is no failure of ours"


def test_a_folder_for_triton_is_written_instead_of_serving(exported, four_way, tmp_path):
    words = [sys.executable, "-m", "export.serve", f"a={exported}/model.onnx", f"b={four_way}/model.onnx"]
    words += ["--triton-repository", str(tmp_path / "models"), "--batch-size", "8"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(tmp_path / "models" / name) for name in "ab"]
    assert (tmp_path / "models/a/1/model.onnx").read_bytes() == (exported / "model.onnx").read_bytes()
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="needs tritonclient[grpc]")
    from google.protobuf import text_format

    text = (tmp_path / "models/b/config.pbtxt").read_text()
    found = text_format.Parse(text, schema.ModelConfig())
    assert (found.name, found.backend, found.max_batch_size) == ("b", "onnxruntime", 8)
    session = Classifier(four_way / "model.onnx").session
    for own, theirs in ((session.get_inputs(), found.input), (session.get_outputs(), found.output)):
        assert [(one.name, one.shape[1:]) for one in own] == [(one.name, [*one.dims]) for one in theirs]
    kinds = {one.name: schema.DataType.Name(one.data_type) for one in (*found.input, *found.output)}
    assert (kinds["image"], kinds["probability"]) == ("TYPE_UINT8", "TYPE_FP32")
    assert found.parameters["certain_normal_below"].string_value == "0.35"
    again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (again.returncode, "exists already; remove it" in again.stderr) == (2, True)


@pytest.mark.parametrize(("options", "threshold"), [({"two_way": True}, "0.49996"), ({"threshold": 0.1}, "0.1")])
def test_a_folder_for_triton_tells_the_threshold_alone_where_two_answers_are_asked_for(four_way, options, threshold):
    from export.serve.batching import BatchLimits
    from export.serve.triton_repository import configuration

    text = configuration("a", Classifier(four_way, **options), BatchLimits())
    assert f'key: "threshold" value {{ string_value: "{threshold}" }}' in text
    assert "certain_" not in text
    assert "familiarity_threshold" not in text
