"""A hundred thousand requests to the command: no error, and memory that stays as it was."""

import itertools
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import psutil
import pytest

from export import Classifier

pytest.importorskip("fastapi", reason="needs the serve extra")
pytest.importorskip("httpx", reason="needs httpx")

from http_service import started

REQUESTS = int(os.environ.get("PNEUMO_SOAK_REQUESTS", "100000"))
CLIENTS = 8
MOST_IDLE = 2.0  # seconds, on a busy machine; the service closes a connection that is not used for five
MOST_GROWTH = 20e6  # bytes, from a tenth of the requests on; the first ones fill caches and arenas
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="reads memory as Linux counts it")
def test_memory_is_flat_over_many_requests_of_all_kinds(exported, jpegs):
    """Seven of eight are answered, in three forms; one is refused."""
    bodies = [file.read_bytes() for file in sorted(jpegs.rglob("*.jpeg"))]
    classifier = Classifier(exported / "model.onnx", threads=1)
    wanted = [classifier.predict_bytes(body).probability for body in bodies]
    own, turns, sizes = threading.local(), itertools.count(), []

    def ask(url, process):
        if not hasattr(own, "connection"):
            own.connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
        turn = next(turns)
        if turn % (REQUESTS // 100) == 0:
            sizes.append((turn, process.memory_info().rss))
        place, kind = turn % len(bodies), turn % 8
        body, headers = bodies[place], {}
        if kind == 6:
            head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            body, headers = head + body + b"\r\n--x--\r\n", FORM
        if time.monotonic() - getattr(own, "used", 0) > MOST_IDLE:
            own.connection.close()  # which the next request opens again
        own.connection.request("POST", "/v1/predict", body[:40] if kind == 7 else body, headers)
        answer = own.connection.getresponse()
        text, own.used = answer.read(), time.monotonic()
        if kind == 7:
            assert answer.status == 422, text
        else:
            assert answer.status == 200, text
            assert json.loads(text)["probability"] == pytest.approx(wanted[place], abs=1e-6)

    with started(exported / "model.onnx", "--threads", "1") as (process, url), ThreadPoolExecutor(CLIENTS) as clients:
        measured = psutil.Process(process.pid)
        for _ in range(REQUESTS // 1000):
            list(clients.map(lambda _: ask(url, measured), range(1000)))
        files = measured.num_fds()
    early = [size for turn, size in sizes if REQUESTS // 10 <= turn < REQUESTS // 5]
    late = [size for turn, size in sizes if turn >= 9 * REQUESTS // 10]
    print(f"{REQUESTS} requests; MB at first {max(early) / 1e6:.1f}, at last {max(late) / 1e6:.1f}; {files} open files")
    assert max(late) - max(early) < MOST_GROWTH
    assert files < 100
