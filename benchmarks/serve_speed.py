"""The HTTP service under 1, 4 and 16 clients, of 1 MB files under 16, beside what decoding and the model alone allow.

It is started as users start it, `python -m export.serve`, on the loopback address. Each client sends its next image
when it has the answer to the last, over a connection that it keeps. Clients share the cores with the service. Every
answer is compared with that of the same file without the service.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path

import numpy as np
import psutil

from benchmarks import image_folders
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.inference_speed import in_new_process, make_onnx, percentiles
from benchmarks.measuring.harness import CannotRunError, Case, Contender, Record, Work, measure
from benchmarks.runtimes import EXACT, FILES
from export.inference.classifier import Classifier
from pneumo_tfds.program.parallel import ordered_map

CLIENTS, QUICK_CLIENTS, MANY = (1, 4, 16), (4,), (16,)
IMAGES = 64
"""Different files that the clients send."""
SERVICE = "ours: the HTTP service"
SECONDS_TO_STOP = 10.0

Started = Callable[[], tuple[psutil.Process, int]]
"""Returns the service, started at the first call, and its port."""


def measure_stage(options: BenchmarkOptions) -> list[Record]:
    """Measure one table for each kind of file and number of clients."""
    quick = options.quick
    found = [image_folders.heavy(quick), image_folders.large(quick), image_folders.small(options.source, quick)]
    records: list[Record] = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        if options.model is None:
            in_new_process(make_onnx, Path(name))
        classifier = Classifier(options.model or Path(name) / FILES["float32"], threads=options.workers)
        started = cache(lambda: stack.enter_context(running(classifier.path, options.workers)))
        for folder in found:
            files = [Path(path).read_bytes() for path in image_folders.spread(folder.paths, IMAGES)]
            for clients in MANY if folder is found[0] else QUICK_CLIENTS if quick else CLIENTS:
                words = "1 client" if clients == 1 else f"{clients} clients"
                side = classifier.metadata.image_size
                case = Case("serve", folder.name, side, 1, options.workers, words, SERVICE)
                contenders = _contenders(classifier, files, clients, options.workers, started)
                records += measure(case, contenders, options.pace(seconds=1.5, rounds=5))
    return records


def _contenders(
    classifier: Classifier, files: Sequence[bytes], clients: int, workers: int, started: Started
) -> list[Contender]:
    decoded = np.stack([classifier.decode(data) for data in files])
    batch = min(clients, len(files))

    def decoding(step: int) -> Work:
        with ThreadPoolExecutor(workers) as pool:
            for start in count(0, step):
                list(pool.map(classifier.decode, [files[(start + place) % len(files)] for place in range(step)]))
                yield step

    def model() -> Work:
        while True:
            classifier.predict_batch(decoded[:batch])
            yield batch

    processor = list[float]()

    def both() -> Work:
        start = time.process_time()
        for done in decoding(batch):
            classifier.predict_batch(decoded[:batch])
            processor.append((time.process_time() - start) / done)
            yield done
            start = time.process_time()

    def cost() -> Mapping[str, float]:
        return {"CPU ms": 1000 * statistics.fmean(processor)}

    return [
        Contender("limit: decoding alone", lambda: decoding(len(files))),
        Contender("limit: the model alone", model),
        Contender("limit: one after the other, without HTTP", both, details=cost),
        _service(files, [found.probability for found in classifier.predict(decoded)], clients, started, processor),
    ]


def _service(
    files: Sequence[bytes], expected: Sequence[float], clients: int, started: Started, limit: Sequence[float]
) -> Contender:
    latencies, processor, own = list[float](), list[float](), threading.local()

    def run() -> Work:
        process, port = started()

        def ask(turn: int) -> int:
            if not hasattr(own, "connection"):
                own.connection = HTTPConnection("127.0.0.1", port, timeout=60)
            place, start = turn % len(files), time.perf_counter()
            try:
                own.connection.request("POST", "/v1/predict", files[place])
                answer = own.connection.getresponse()
                body = answer.read()
            except (OSError, HTTPException) as error:
                raise CannotRunError(f"the service did not answer: {error}") from error
            latencies.append(time.perf_counter() - start)
            if answer.status != 200 or abs(json.loads(body)["probability"] - expected[place]) > EXACT:
                raise CannotRunError(f"the service answered {answer.status} {body!r}, not {expected[place]}")
            return 1

        before = sum(process.cpu_times()[:2])
        try:
            yield from ordered_map(ask, count(), clients)
        finally:
            processor.append(sum(process.cpu_times()[:2]) - before)

    def details() -> Mapping[str, float]:
        seconds = sum(processor) / len(latencies)
        share = {"CPU % of limit": 100 * statistics.fmean(limit) / seconds} if limit else {}
        return {**percentiles(latencies), "CPU ms": 1000 * seconds, **share}

    return Contender(SERVICE, run, ("fastapi", "uvicorn", "prometheus_client"), "serve", details=details)


@contextmanager
def running(model: Path, threads: int) -> Iterator[tuple[psutil.Process, int]]:
    """Start the service as a process, wait until it is ready, and stop it at the end; the process and its port.

    Raises:
        CannotRunError: it ended before it was ready.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "export.serve", str(model), "--port", str(port), "--threads", str(threads)]
    command += ["--engine", "onnxruntime"]  # as the limits; for an int8 file it could be another
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or not process.stdout.readline():  # it is printed once the port is open
                raise CannotRunError("the service ended before it was ready")
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/readyz")
            connection.getresponse().read()
            connection.close()
            yield psutil.Process(process.pid), port
        finally:
            process.terminate()
            process.wait(SECONDS_TO_STOP)
