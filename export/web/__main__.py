"""`python -m export.web MODEL.onnx`: a page that predicts X-rays in the browser, on this machine."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Ge, Le

from pneumo_tfds.program.bounds import Bounded
from pneumo_tfds.program.command import Command, run


@dataclass(frozen=True, kw_only=True)
class Web(Bounded, Command):
    """Serve a page on 127.0.0.1 that predicts X-rays in the browser; no image is sent anywhere."""

    model: Annotated[Path, tyro.conf.Positional]
    """The .onnx file of a run, or the run's folder: its model.onnx."""
    golden: Path | None = None
    """Golden examples of the model, for the page's self-check. Default: golden.npz beside the model, if it exists, but
    not for a file of export.recalibrate, whose probabilities are others."""
    port: Annotated[int, Ge(0), Le(65535)] = 8765
    """Port to listen on; 0 takes any free one."""
    open: bool = False
    """Open the page in the default browser."""


def serve(command: Web) -> None:
    """Serve until interrupted."""
    from export.inference.classifier import Classifier
    from export.inference.content_digest import tell_if_unchecked
    from export.inference.golden import read
    from export.web.server import make_server, site

    classifier = Classifier(command.model)  # raises an error for a file that the page could not use
    if not classifier.content.has_digest:
        tell_if_unchecked(classifier.path)
    golden, model = command.golden, classifier.path
    if golden is not None:
        read(golden)
    elif (beside := model.with_name("golden.npz")).is_file():
        if classifier.metadata.recalibrated:
            print(f"No golden check: {model} is recalibrated, and {beside} is of the file before", flush=True)
        else:
            golden = beside
    with make_server(site(model, golden), command.port) as server:
        address = f"http://{server.server_address[0]!s}:{server.server_address[1]}/"
        print(f"Serving {model} at {address} (Ctrl+C stops the server)", flush=True)
        if command.open:
            webbrowser.open(address)
        server.serve_forever()


if __name__ == "__main__":
    run(Web, serve, prog="python -m export.web")
