"""The record that a run is finished: nothing missing, nothing changed, and nothing more asked."""

import pytest

from pipeline.run_folder.finished import is_finished, record_end
from pipeline.run_folder.folder import RunFolder

RESULTS = ("model.keras", "plots/roc_test.png", "fold-1/metrics.json")
KEPT = ("checkpoint/weights.npz", "fold-1/checkpoint/weights.npz", "tuner/best.json", ".lock")


@pytest.fixture
def folder(tmp_path):
    for name in (*RESULTS, *KEPT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    folder = RunFolder(tmp_path)
    record_end(folder, {"int8": True})
    return folder


def test_a_run_is_finished_once_its_end_is_recorded(folder, tmp_path):
    assert is_finished(folder, {})
    assert not is_finished(RunFolder(tmp_path / "fold-1"), {})


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize(
    "spoil", [lambda path: path.unlink(), lambda path: path.write_text("?")], ids=["gone", "other"]
)
def test_a_run_with_a_missing_or_damaged_result_is_not_finished(folder, name, spoil):
    spoil(folder.path / name)
    assert not is_finished(folder, {})


def test_what_is_no_result_may_change(folder):
    for name in KEPT:
        (folder.path / name).unlink()
    (folder.path / "notes.txt").write_text("a file of the user")
    assert is_finished(folder, {})


def test_a_run_is_not_finished_if_more_is_asked_than_was_done(folder):
    assert is_finished(folder, {"int8": True})
    assert not is_finished(folder, {"int8": True, "fp16": True})


@pytest.mark.parametrize("text", ["", "[]", '{"asked": {}}', '{"asked": [], "files": {"model.keras": 3}}'])
def test_a_damaged_record_is_none(folder, text):
    folder.finished.write_text(text)
    assert not is_finished(folder, {})
