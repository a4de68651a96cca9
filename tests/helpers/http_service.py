"""The HTTP service on a free port of this machine: the app in a thread, or the command as a process."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def served(models, **limits):
    """Serve classifiers by name, or one as `model`, with small limits; gives a client, whose `app` is the app."""
    import uvicorn

    from export.serve.__main__ import listening
    from export.serve.service import Limits, create_app

    models = models if isinstance(models, dict) else {"model": models}
    app = create_app(models, Limits(**{"body_bytes": 2_000_000, **limits}))
    del models
    listener = listening("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        with httpx.Client(base_url="http://{}:{}".format(*listener.getsockname()), timeout=60) as client:
            client.app = app
            yield client
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def started(*words, stderr=None):
    """Start `python -m export.serve` and wait until it is ready; gives the process and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "export.serve", *words, "--port", port]
    with subprocess.Popen([*map(str, words)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr) as process:
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}")
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _wait_until_ready(process, url):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=10).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("the service did not start within a minute")
