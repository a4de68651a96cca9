"""The HTTP service: answers, limits, health, figures, and many clients at once. Needs the serve extra."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from export import Classifier
from export.serve.__main__ import listening
from export.serve.batching import Batcher, BatchLimits, OverloadedError
from image_files import png
from pneumo_tfds.decode import decode

fastapi = pytest.importorskip("fastapi", reason="needs the serve extra")
pytest.importorskip("prometheus_client", reason="needs the serve extra")
httpx = pytest.importorskip("httpx", reason="needs httpx")

from http_service import served, started  # noqa: E402


def test_answer_equals_the_classifiers(service, exported, jpegs):
    classifier = Classifier(exported / "model.onnx")
    files = sorted(jpegs.rglob("*.jpeg"))[:4]
    assert len(files) == 4
    for file in files:
        answer = service.post("/v1/predict", content=file.read_bytes())
        assert answer.status_code == 200
        expected = classifier.predict_file(file)
        assert answer.json()["probability"] == pytest.approx(expected.probability, abs=1e-6)
        assert answer.json()["decision"] == expected.decision
        assert "heatmap" not in answer.json(), "only where asked for"
        assert (answer.json()["model"], answer.json()["engine"]) == (classifier.identity, classifier.engine)
        assert answer.headers["cache-control"] == "no-store"


def test_the_service_obeys_the_framing(exported_as):
    coarse = np.random.default_rng(5).integers(0, 256, (6, 9), np.uint8)
    data = cv2.imencode(".png", cv2.resize(coarse, (300, 120)))[1].tobytes()
    classifier = Classifier(exported_as("pad") / "model.onnx", threads=1)
    with served(classifier) as client:
        answer = client.post("/v1/predict", content=data).json()
        assert client.get("/v1/model").json()["framing"] == "pad"
    padded, squeezed = (decode(data, 48, framing=framing)[np.newaxis] for framing in ("pad", "squeeze"))
    assert answer["probability"] == pytest.approx(classifier.predict(padded)[0].probability, abs=1e-6)
    assert answer["probability"] != pytest.approx(classifier.predict(squeezed)[0].probability, abs=1e-6)


def test_the_service_gives_four_answers_and_counts_them(four_way, pictures):
    noise = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    tinted = np.dstack([pictures(1, 96)[0], *[pictures(1, 96)[0] // 2] * 2])
    bodies = [cv2.imencode(".png", picture)[1].tobytes() for picture in (*pictures(8, 96, seed=4), noise, tinted)]
    classifier = Classifier(four_way / "model.onnx", threads=1)
    with served(classifier) as client:
        answers = [client.post("/v1/predict", content=body).json() for body in bodies]
        counted = client.get("/metrics").text
        assert client.get("/v1/model").json()["guarantee"] == "NPV at least 0.9 on made pictures"
        assert client.get("/readyz").status_code == 200
    for body, answer in zip(bodies, answers, strict=True):
        expected = classifier.predict_bytes(body)
        assert (answer["decision"], answer["reasons"]) == (expected.decision, list(expected.reasons))
        assert answer["familiarity"] == pytest.approx(expected.familiarity, abs=1e-4)
    decisions = [answer["decision"] for answer in answers]
    assert decisions[-2:] == ["UNSUITABLE", "UNSUITABLE"]
    assert answers[-1]["reasons"][-1].startswith("in colour: ")
    for decision in ("NORMAL", "PNEUMONIA", "UNCERTAIN", "UNSUITABLE"):
        assert f'pneumo_decisions_total{{decision="{decision}",model="model"}} {decisions.count(decision)}.0' in counted
    for name in ("probability", "familiarity"):
        low = sum(answer[name] <= 0.5 for answer in answers)
        assert f'pneumo_{name}_bucket{{le="0.5",model="model"}} {low}.0' in counted
        assert f'pneumo_{name}_count{{model="model"}} {len(answers)}.0' in counted
    assert f'pneumo_brightness_count{{model="model"}} {len(answers)}.0' in counted
    with served(Classifier(four_way / "model.onnx", threads=1, two_way=True)) as client:
        answer = client.post("/v1/predict", content=bodies[-2]).json()
        assert answer["decision"] in ("NORMAL", "PNEUMONIA")
        assert answer["reasons"] == answers[-2]["reasons"]
        assert "UNSUITABLE" not in client.get("/metrics").text


def test_heatmap_on_request(service, jpegs):
    data = next(jpegs.rglob("*.jpeg")).read_bytes()
    heat = service.post("/v1/predict?heatmap=true", content=data).json()["heatmap"]
    assert np.shape(heat) == (12, 12)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "empty"),
        (b"GIF89a not an X-ray", 415, "not a JPEG, PNG or DICOM"),
        (b"\xff\xd8\xff\xe0 cut", 422, "damaged or truncated"),
        (png(50_000, 50_000), 422, "50000 x 50000 pixels"),
        (bytes(2_000_001), 413, "over 2 MB"),
    ],
)
def test_refusals_say_why(service, body, status, reason):
    answer = service.post("/v1/predict", content=body)
    assert answer.status_code == status
    assert reason in answer.json()["detail"]


def test_a_huge_upload_is_refused_by_its_declared_length_without_reading_it(service):
    url = service.base_url
    with socket.create_connection((url.host, url.port), timeout=5) as client:
        client.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 413")


class SkippingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be put forward."""

    skipped = 0.0

    def time(self):
        return super().time() + self.skipped


@pytest.mark.parametrize(("pause", "read"), [(800, 20), (1200, 0)])
def test_the_rest_of_a_refused_upload_is_read_for_a_limited_time(pause, read, monkeypatch):
    """A client that was cut off in the middle of a long upload did not see the reason."""
    from export.serve import uploads

    loop, seen = SkippingLoop(), []

    async def upload():
        while True:
            loop.skipped += pause
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            seen.append(pause)
            yield b"."

    monkeypatch.setattr(uploads, "DRAIN_SECONDS", 1000)
    with contextlib.closing(loop):
        loop.run_until_complete(uploads.drain(upload(), seconds=16_500))
    assert len(seen) == read


def test_a_body_without_length_is_cut_off_at_the_limit(service):
    def endless():
        for _ in range(100):
            yield bytes(100_000)

    with contextlib.suppress(httpx.WriteError):  # the server hung up first: also a refusal
        assert service.post("/v1/predict", content=endless()).status_code == 413


def test_the_body_of_an_answer_does_not_wait_until_its_head_is_acknowledged():
    with listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_body_that_does_not_arrive_times_out(exported):
    with served(Classifier(exported / "model.onnx", threads=1), body_seconds=0.1) as service:
        url = service.base_url
        with socket.create_connection((url.host, url.port), timeout=60) as client:
            client.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
            assert client.recv(100).startswith(b"HTTP/1.1 408")


def test_four_clients_at_once_share_batches(service, jpegs):
    bodies = [file.read_bytes() for file in sorted(jpegs.rglob("*.jpeg"))]
    alone = [service.post("/v1/predict", content=body).json()["probability"] for body in bodies]
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda body: service.post("/v1/predict", content=body), bodies * 5))
    assert {answer.status_code for answer in answers} == {200}
    np.testing.assert_allclose([answer.json()["probability"] for answer in answers], alone * 5, atol=1e-6)


@pytest.mark.long
def test_half_a_minute_of_four_clients_beside_bad_uploads(exported, jpegs):
    """The command itself, with its own limits: no error for the clients, a clear refusal for everything else."""
    with started(exported / "model.onnx", "--threads", "1") as (process, url):
        bodies = [file.read_bytes() for file in sorted(jpegs.rglob("*.jpeg"))]
        classifier = Classifier(exported / "model.onnx", threads=1)
        wanted = [classifier.predict_bytes(body).probability for body in bodies]
        end = time.monotonic() + 30

        def client(number):
            count = 0
            with httpx.Client(base_url=url, timeout=20) as mine:
                while time.monotonic() < end:
                    turn = (number + count) % len(bodies)
                    answer = mine.post("/v1/predict", content=bodies[turn])
                    assert answer.status_code == 200, answer.text
                    assert answer.json()["probability"] == pytest.approx(wanted[turn], abs=1e-6)
                    count += 1
            return count

        refusals = {
            413: (bytes(100_000_000), "over 32 MB"),
            415: (b"GIF89a not an X-ray", "not a JPEG, PNG or DICOM"),
            422: (png(50_000, 50_000), "50000 x 50000 pixels"),
        }
        with ThreadPoolExecutor(4) as clients, httpx.Client(base_url=url, timeout=20) as stranger:
            working = [clients.submit(client, number) for number in range(4)]
            rounds = 0
            while not all(future.done() for future in working):
                for status, (body, reason) in refusals.items():
                    answer = stranger.post("/v1/predict", content=body)
                    assert (answer.status_code, reason in answer.json()["detail"]) == (status, True)
                rounds += 1
            counts = [future.result() for future in working]
        assert min(counts) > 100
        assert rounds > 5
        figures = httpx.get(f"{url}/metrics").text
        assert f'pneumo_answers_total{{status="200"}} {sum(counts)}' in figures
        assert f'pneumo_answers_total{{status="413"}} {rounds}' in figures
        assert process.poll() is None


def test_health_model_metrics_and_description(service):
    assert service.get("/healthz").json() == {"status": "alive"}
    assert service.get("/readyz").json() == {"status": "ready"}
    assert service.get("/v1/model").json()["image_size"] == 48
    figures = service.get("/metrics").text
    assert 'pneumo_answers_total{status="200"}' in figures
    assert 'pneumo_batch_images_count{model="model"}' in figures
    document = service.get("/openapi.json").json()
    assert set(document["paths"]["/v1/predict"]["post"]["responses"]) >= {"200", "413", "415", "422", "503"}


def test_the_page_about_the_service_loads_nothing(service):
    page = service.get("/", follow_redirects=True)
    assert (page.url.path, page.status_code) == ("/docs", 200)
    assert "POST /v1/predict" in page.text
    assert not [word for word in ("<script", "http:", "https:", "//") if word in page.text]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert service.get("/redoc").status_code == 404, "a page that loads from elsewhere"


def batcher(answer, **limits):
    return Batcher(answer, BatchLimits(**limits), ThreadPoolExecutor(1))


def test_items_that_arrive_together_share_a_call():
    sizes = []

    async def main():
        def answer(items):
            sizes.append(len(items))
            return [item * 2 for item in items]

        async with batcher(answer, largest=4, wait=0.2) as shared:
            return await asyncio.gather(*(shared.submit(number) for number in range(8)))

    assert asyncio.run(main()) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert sizes == [4, 4]


def test_full_queue_refuses_and_the_rest_is_answered():
    async def main():
        gate = threading.Event()

        def answer(items):
            gate.wait(5)
            return items

        async with batcher(answer, largest=1, wait=0, queue=2) as shared:
            first = [asyncio.create_task(shared.submit(0))]
            await asyncio.sleep(0.05)  # taken by the worker
            first += [asyncio.create_task(shared.submit(number)) for number in (1, 2)]
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError, match="2 images are waiting"):
                await shared.submit(3)
            gate.set()
            return await asyncio.gather(*first)

    assert asyncio.run(main()) == [0, 1, 2]


def test_an_error_of_the_model_reaches_its_requests_and_the_next_batch_is_answered():
    async def main():
        def answer(items):
            if items[0] < 0:
                raise RuntimeError("broken")
            return items

        async with batcher(answer, largest=1) as shared:
            with pytest.raises(RuntimeError, match="broken"):
                await shared.submit(-1)
            return await shared.submit(5)

    assert asyncio.run(main()) == 5


def test_command_refuses_impossible_flags_and_a_missing_model():
    root = Path(__file__).parents[3]
    for arguments, reason in ((["m.onnx", "--port", "0"], b"--port is 0"), (["none.onnx"], b"none.onnx is not a file")):
        done = subprocess.run(
            [sys.executable, "-m", "export.serve", *arguments], cwd=root, capture_output=True, check=False
        )
        assert done.returncode == 2
        assert reason in done.stderr
        assert done.stderr.count(b"\n") == 1


def test_metadata_reaches_the_client_as_json(service):
    found = service.get("/v1/model").json()
    assert found["classes"] == ["NORMAL", "PNEUMONIA"]
    assert json.dumps(found)
