"""The command that serves the page: what it refuses, serves and prints."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from export.web.__main__ import Web, serve
from pneumo_tfds.program.errors import InputError


@pytest.fixture
def served(monkeypatch):
    """A server that ends at once; record how it was called."""
    asked = SimpleNamespace(opened=[])

    @contextmanager
    def make_server(site, port):
        asked.port, asked.forever = port, 0

        def forever():
            asked.forever += 1

        yield SimpleNamespace(server_address=("127.0.0.1", 4321), serve_forever=forever)

    def site(model, golden):
        asked.model, asked.golden = model, golden

    monkeypatch.setattr("export.web.server.make_server", make_server)
    monkeypatch.setattr("export.web.server.site", site)
    monkeypatch.setattr("webbrowser.open", asked.opened.append)
    return asked


def test_a_model_is_served_with_the_golden_images_beside_it(exported, served, capsys):
    serve(Web(model=exported / "model.onnx", port=0))
    assert (served.model, served.golden) == (exported / "model.onnx", exported / "golden.npz")
    assert (served.port, served.forever, served.opened) == (0, 1, [])
    assert (
        f"Serving {exported / 'model.onnx'} at http://127.0.0.1:4321/ (Ctrl+C stops the server)"
        in capsys.readouterr().out
    )


def test_a_run_folder_stands_for_its_model(exported, served, capsys):
    serve(Web(model=exported, port=0))
    assert (served.model, served.golden) == (exported / "model.onnx", exported / "golden.npz")
    assert f"Serving {exported / 'model.onnx'} at" in capsys.readouterr().out


def test_a_model_alone_is_served_without_them_and_the_browser_opened_if_asked(exported, served, tmp_path):
    shutil.copy(exported / "model.onnx", tmp_path)
    serve(Web(model=tmp_path / "model.onnx", open=True))
    assert served.golden is None
    assert served.opened == ["http://127.0.0.1:4321/"]
    serve(Web(model=tmp_path / "model.onnx", golden=exported / "golden.npz"))
    assert served.golden == exported / "golden.npz"


def test_a_recalibrated_file_is_not_checked_by_the_golden_images_of_the_one_before(
    exported, served, capsys, monkeypatch
):
    metadata = SimpleNamespace(recalibrated=({"source": "here"},))
    monkeypatch.setattr(
        "export.inference.classifier.Classifier",
        lambda path: SimpleNamespace(metadata=metadata, path=path, content=SimpleNamespace(has_digest=True)),
    )
    serve(Web(model=exported / "local.onnx"))
    assert served.golden is None
    assert f"No golden check: {exported / 'local.onnx'} is recalibrated" in capsys.readouterr().out
    serve(Web(model=exported / "local.onnx", golden=exported / "golden.npz"))
    assert served.golden == exported / "golden.npz"  # as it was asked for


def test_unusable_files_are_refused_before_anything_is_served(exported, served, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    (tmp_path / "golden.npz").write_bytes(b"no images")
    with pytest.raises(InputError, match=r"model\.onnx is not a readable ONNX file"):
        serve(Web(model=tmp_path / "model.onnx"))
    with pytest.raises(InputError, match=r"golden\.npz"):
        serve(Web(model=exported / "model.onnx", golden=tmp_path / "golden.npz"))
    assert not hasattr(served, "forever")
