"""The benchmark of the HTTP service: its clients, what they check, and the process that they ask."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import psutil
import pytest

from bad_inputs_files import SIDE
from benchmarks import serve_speed
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.image_folders import JpegFolder
from benchmarks.measuring import harness
from benchmarks.measuring.harness import CannotRunError, Case, Pace, measure
from brightness_model import write_model
from pneumo_tfds.program.installed import how_to_install

CASE = Case("serve", "made up", 8, 1, 1)


@pytest.fixture
def service():
    """Stands in for the service: the probability of a file is its first byte, in hundredths; 255 is refused."""
    seen = []

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            first = self.rfile.read(int(self.headers["Content-Length"]))[0]
            body = json.dumps({"probability": first / 100}).encode()
            seen.append((first, self.client_address))
            self.send_response(422 if first == 255 else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield (lambda: (psutil.Process(), server.server_port)), seen
        server.shutdown()
        thread.join()


def test_clients_send_every_file_over_connections_that_they_keep(service, monkeypatch):
    monkeypatch.setattr(harness, "is_installed", lambda module: True)
    started, seen = service
    contender = serve_speed._service([b"\x0a", b"\x14", b"\x1e"], [0.1, 0.2, 0.3], 2, started, [0.001])
    (record,) = measure(CASE, [contender], Pace(1, 0.2))
    assert record.images_per_second > 0
    assert {first for first, _ in seen} == {10, 20, 30}
    assert len({client for _, client in seen}) == 2
    assert 0 < record.details["p50 ms"] <= record.details["p99 ms"]
    assert record.details["CPU ms"] >= 0


@pytest.mark.parametrize(
    ("file", "expected", "words"), [(b"\x0a", 0.2, "answered 200"), (b"\xff", 2.55, "answered 422")]
)
def test_another_answer_than_expected_is_told_and_not_measured(service, monkeypatch, file, expected, words):
    monkeypatch.setattr(harness, "is_installed", lambda module: True)
    (record,) = measure(CASE, [serve_speed._service([file], [expected], 1, service[0], [0.001])], Pace(1, 0.05))
    assert (record.runs, words in record.note) == ((), True)


def test_without_the_extra_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(harness, "is_installed", lambda module: False)
    assert serve_speed._service([], [], 1, lambda: None, []).missing().endswith(how_to_install("serve"))


def test_a_service_that_does_not_start_is_told(tmp_path):
    with pytest.raises(CannotRunError, match="before it was ready"), serve_speed.running(tmp_path / "none.onnx", 1):
        pass


def test_a_given_model_is_what_the_service_is_asked_for(tmp_path, monkeypatch):
    path, tables = write_model(tmp_path / "mine.onnx"), []
    for number in range(2):
        place = tmp_path / "train" / ("NORMAL", "PNEUMONIA")[number] / f"{number}.jpeg"
        place.parent.mkdir(parents=True)
        cv2.imwrite(str(place), np.random.default_rng(number).integers(0, 256, (40, 40), dtype=np.uint8))
    for name in ("heavy", "large", "small"):
        monkeypatch.setattr(serve_speed.image_folders, name, lambda *_: JpegFolder("made up", tmp_path))

    @contextmanager
    def running(model, threads):
        tables.append(model)
        raise CannotRunError("not here")
        yield

    def measure(case, contenders, pace):
        tables.append((case.image_size, next(contenders[1].start())))
        with pytest.raises(CannotRunError):
            next(contenders[-1].start())
        return []

    monkeypatch.setattr(serve_speed, "running", running)
    monkeypatch.setattr(serve_speed, "measure", measure)
    monkeypatch.setattr(serve_speed, "make_onnx", None)
    serve_speed.measure_stage(BenchmarkOptions(quick=True, threads=1, model=path))
    assert tables == [(SIDE, 2), path] * 3


@pytest.mark.slow
def test_the_service_is_measured_beside_its_limits(tmp_path, monkeypatch):
    for number in range(4):
        place = tmp_path / "train" / ("NORMAL", "PNEUMONIA")[number % 2] / f"{number}.jpeg"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(number).integers(0, 256, (300, 260), dtype=np.uint8)
        cv2.imwrite(str(place), cv2.GaussianBlur(picture, (0, 0), 5))
    first, second, third = (JpegFolder("made up", tmp_path) for _ in range(3))
    monkeypatch.setattr(serve_speed.image_folders, "heavy", lambda quick: first)
    monkeypatch.setattr(serve_speed.image_folders, "large", lambda quick: second)
    monkeypatch.setattr(serve_speed.image_folders, "small", lambda source, quick: third)
    monkeypatch.setattr(BenchmarkOptions, "pace", lambda self, **_: Pace(1, 0.05))
    monkeypatch.setattr(serve_speed, "QUICK_CLIENTS", (1, 3))
    records = serve_speed.measure_stage(BenchmarkOptions(quick=True, threads=1))
    assert [record.case.case for record in records[::4]] == ["16 clients", *["1 client", "3 clients"] * 2]
    for record in records:
        assert record.runs or "serve]" in record.note
