"""`python -m export.serve MODEL.onnx`: the model as an HTTP service (extra `serve`)."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError, require

LARGEST_PORT = 65535
MOST_CONNECTIONS = 512
BACKLOG = 2048  # connections that wait to be accepted; uvicorn's own


@dataclass(frozen=True, kw_only=True)
class Serve(Command):
    """Answer X-rays over HTTP: POST an image to /v1/predict. An example to start from, without authentication."""

    model: Annotated[Path, tyro.conf.Positional]
    """The .onnx file of a run."""
    host: str = "127.0.0.1"
    """Address to listen on; anything but this machine belongs behind a proxy with TLS and authentication."""
    port: int = 8000
    """Port to listen on."""
    max_megabytes: float = 32.0
    """Largest upload, MB; a larger one is answered with 413."""
    batch_size: int = 16
    """Images answered by one call of the model at most."""
    batch_wait: float = 4.0
    """Milliseconds an image waits for company."""
    queue: int = 256
    """Images that may wait; one more is answered with 503."""
    threads: int = 0
    """Threads of the model; 0: one for each core."""
    threshold: float | None = None
    """Decide PNEUMONIA from this probability on, in place of the model's own threshold."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("port", 1, LARGEST_PORT),
            ("max_megabytes", 0.001, 1024),
            ("batch_size", 1, 1024),
            ("batch_wait", 0, 1000),
            ("queue", 1, 100_000),
            ("threads", 0, 1024),
        ):
            value = getattr(self, name)
            require(least <= value <= most, name.replace("_", "-"), value, f"from {least:g} to {most:g}")


def serve(config: Serve) -> None:
    """Serve until interrupted."""
    try:
        import uvicorn

        from export.serve.service import Limits, create_app
    except ModuleNotFoundError as error:
        raise InputError(f"the service needs {error.name}; run: pip install 'pneumo[serve]'") from error
    from export.inference.classifier import Classifier
    from export.serve.batching import BatchLimits

    classifier = Classifier(config.model, threads=config.threads, threshold=config.threshold)
    batch = BatchLimits(largest=config.batch_size, wait=config.batch_wait / 1000, queue=config.queue)
    app = create_app(classifier, Limits(body_bytes=int(config.max_megabytes * 1e6), batch=batch))
    with listening(config.host, config.port) as listener:
        print(f"Serving {config.model} at http://{config.host}:{config.port}/docs (Ctrl+C ends it)", flush=True)
        settings = uvicorn.Config(
            app, log_level="warning", access_log=False, limit_concurrency=MOST_CONNECTIONS, server_header=False
        )
        uvicorn.Server(settings).run(sockets=[listener])


def listening(host: str, port: int) -> socket.socket:
    """Listen on an address; uvicorn itself would log why it cannot, and leave with a code of its own.

    Raises:
        InputError: the port is in use or not allowed, or the address is not this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"--host {host} --port {port} cannot be used ({reason}); choose another") from error


if __name__ == "__main__":
    run(Serve, serve, prog="python -m export.serve")
