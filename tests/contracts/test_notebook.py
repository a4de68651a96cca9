"""The notebook of the documentation runs and prints nothing; its committed outputs have no trace of a machine."""

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
ROOT = Path(__file__).parents[2]
BOOK = ROOT / "docs" / "tutorial" / "in-a-notebook.ipynb"
TRACES = ("/home/", "/root/", "/tmp/", "/Users/", "site-packages")
SECONDS = 900  # for one cell, on a busy machine


def shown(book):
    """The kinds of output of each cell of code, without what `%%writefile` and TensorFlow's own log say."""
    cells = [cell for cell in book.cells if cell.cell_type == "code" and not cell.source.startswith("%%writefile")]
    return [[each.output_type for each in cell.outputs if each.get("name") != "stderr"] for cell in cells]


def test_outputs_are_committed_and_name_no_place():
    text = BOOK.read_text(encoding="utf-8")
    assert [trace for trace in TRACES if trace in text] == []
    assert all(kinds == ["execute_result"] or "display_data" in kinds for kinds in shown(nbformat.read(BOOK, 4)))


@pytest.mark.slow
def test_every_cell_runs_and_shows_what_is_committed(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = nbformat.read(BOOK, 4)
    committed = shown(book)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
    assert shown(book) == committed
    assert (tmp_path / "runs" / "first" / "model.onnx").is_file()
    assert (tmp_path / "runs" / "own" / "report.html").is_file()
