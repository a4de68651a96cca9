"""`python -m export.web MODEL.onnx`: X-rays answered in the browser, on this machine."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pneumo_tfds.program.command import Command, run


@dataclass(frozen=True, kw_only=True)
class Web(Command):
    """Serve a page on 127.0.0.1 that answers X-rays in the browser; no image is sent anywhere."""

    model: Annotated[Path, tyro.conf.Positional]
    """The .onnx file of a run."""
    golden: Path | None = None
    """Its golden.npz, for the page's check (default: the one beside the model, if there is one)."""
    port: int = 8765
    """Port to listen on; 0: any free one."""
    open: bool = False
    """Open the page in the default browser."""


def serve(config: Web) -> None:
    """Serve until interrupted."""
    from export.inference.classifier import Classifier
    from export.inference.golden import read
    from export.web.server import make_server, site

    Classifier(config.model)  # refuses, here and now, a file the page could not use
    golden = config.golden or config.model.with_name("golden.npz")
    if config.golden is not None:
        read(golden)
    with make_server(site(config.model, golden if golden.is_file() else None), config.port) as server:
        address = f"http://{server.server_address[0]!s}:{server.server_address[1]}/"
        print(f"Serving {config.model} at {address} (Ctrl+C ends it)", flush=True)
        if config.open:
            webbrowser.open(address)
        server.serve_forever()


if __name__ == "__main__":
    run(Web, serve, prog="python -m export.web")
