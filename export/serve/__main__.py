"""`python -m export.serve MODEL.onnx...`: models as an HTTP service (extra `serve`)."""

from __future__ import annotations

import logging
import signal
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from annotated_types import Ge, Le, Unit

from export.inference.model_options import ModelOptions
from pneumo_tfds.program.bounds import Bounded, Count
from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.installed import require_installed

if TYPE_CHECKING:
    from export.serve.service import Limits

BACKLOG = 2048  # connections waiting to be accepted; uvicorn's default


@dataclass(frozen=True, kw_only=True)
class Serve(ModelOptions, Bounded, Command):
    """Predict X-rays over HTTP: POST an image to /v1/predict. An example to start from; it has no authentication."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional]
    """The .onnx files of runs, each as FILE or NAME=FILE. The first one answers requests that name none."""
    host: str = "127.0.0.1"
    """Address to listen on. An address that other machines can reach needs a proxy with TLS and authentication."""
    port: Annotated[int, Ge(1), Le(65535)] = 8000
    """Port to listen on."""
    max_megabytes: Annotated[float, Ge(0.001), Le(1024), Unit("MB")] = 32.0
    """Largest upload in MB; a larger one is answered with status 413."""
    batch_size: Annotated[int, Ge(1), Le(1024)] = 16
    """Largest number of images per call of the model."""
    batch_wait: Annotated[float, Ge(0), Le(1000), Unit("ms")] = 20.0
    """Most milliseconds that an image waits for others that are being decoded, to share a call of the model."""
    queue: Annotated[int, Ge(1), Le(100_000)] = 256
    """Largest number of images that wait for one model; requests beyond it are answered with status 503."""
    max_requests: Annotated[int, Ge(1), Le(100_000)] = 512
    """Most requests at once; further ones are answered with status 503. Idle connections do not count."""
    stop_seconds: Annotated[int, Ge(0), Le(3600), Unit("s")] = 30
    """Seconds that SIGTERM leaves to the requests that were begun."""
    access_log: bool = False
    """Write a line for each request, with its X-Request-ID and without names of files, to standard error."""
    threads: Count | None = None
    """Threads of the model. Default: one per core."""
    threshold: Annotated[float, Ge(0), Le(1)] | None = None
    """Decide PNEUMONIA from this probability on, and NORMAL below it: implies --two-way. Default: the model's own."""
    two_way: bool = False
    """Decide NORMAL or PNEUMONIA by the threshold alone, never UNCERTAIN or UNSUITABLE."""
    triton_repository: Path | None = None
    """Serve nothing, but write a folder that NVIDIA's Triton Inference Server can serve."""


def serve(command: Serve) -> None:
    """Serve until interrupted."""
    require_installed("python_multipart")  # FastAPI imports it at the first form
    import uvicorn

    from export.serve.closing_server import ClosingServer
    from export.serve.served_models import models_by_name
    from export.serve.service import create_app

    open_model = partial(command.opened, threads=command.threads, threshold=command.threshold, two_way=command.two_way)
    classifiers = {name: open_model(path) for name, path in models_by_name(command.models).items()}
    limits = limits_of(command)
    if command.triton_repository is not None:
        from export.serve.triton_repository import write_repository

        for folder in write_repository(command.triton_repository, classifiers, limits.batch):
            print(folder)
        return
    app = create_app(classifiers, limits, open_model)
    del classifiers  # nothing may hold a model that is exchanged
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    if command.access_log:
        logging.getLogger("export.serve").setLevel(logging.INFO)
    with listening(command.host, command.port) as listener:
        host = f"[{command.host}]" if ":" in command.host else command.host
        served = ", ".join(command.models)
        print(f"Serving {served} at http://{host}:{command.port} (Ctrl+C stops the server)")
        print(f"Try it: curl --data-binary @IMAGE http://{host}:{command.port}/v1/predict", flush=True)
        settings = uvicorn.Config(
            app,
            http="h11",  # refuses a head of some 100 KB; httptools, which uvicorn prefers where it is, reads any
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing here asks who the client is
            timeout_graceful_shutdown=command.stop_seconds,
        )
        # uvicorn sends the signal that stopped it again at its end, to the handler of before: that is a good end.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if hasattr(signal, "SIGHUP"):  # not on Windows
            signal.signal(signal.SIGHUP, lambda *_: app.state.models.exchange_soon())
        ClosingServer(settings).run(sockets=[listener])


def limits_of(command: Serve) -> Limits:
    """Return the limits that the flags ask for, in bytes and seconds."""
    from export.serve.batching import BatchLimits
    from export.serve.service import Limits

    batch = BatchLimits(largest=command.batch_size, wait=command.batch_wait / 1000, queue=command.queue)
    return Limits(body_bytes=int(command.max_megabytes * 1e6), requests=command.max_requests, batch=batch)


def listening(host: str, port: int) -> socket.socket:
    """Listen on an address, so that failure is an InputError and not a log message and exit code of uvicorn's.

    Raises:
        InputError: the port is in use or not permitted, or the address does not belong to this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = reason_of(error)
        raise InputError(f"--host {host} --port {port} cannot be used ({reason}); choose another") from error
    # Inherited by every connection. asyncio sets it only on sockets that name their protocol; without it the body of
    # an answer waits up to 40 ms until the client has acknowledged the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


if __name__ == "__main__":
    run(Serve, serve, prog="python -m export.serve")
