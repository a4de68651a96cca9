"""The evaluation lock notices any change between choosing and scoring."""

from __future__ import annotations

import json
import os

import pytest

from pipeline.lock import verify, write_lock
from pneumo_tfds.errors import InputError

CHOICE = {"temperature": 1.25, "bias": 0.5, "threshold": 0.43, "rule": "youden"}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"weights")
    (tmp_path / "config.json").write_text('{"epochs": 3}')
    write_lock(tmp_path, **CHOICE)
    scored(tmp_path)
    return tmp_path


def scored(folder, **changes):
    used = CHOICE | changes
    point = {"threshold": used["threshold"], "rule": used["rule"]}
    (folder / "metrics.json").write_text(
        json.dumps({"temperature": used["temperature"], "bias": used["bias"], "operating_point": point})
    )


def test_what_was_locked_and_scored_unchanged_is_kept(run):
    found = verify(run)
    assert found.kept
    assert found.verdict.startswith("kept. Weights, configuration, temperature and threshold are those locked at 20")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: (folder / "model.keras").write_bytes(b"other weights"), "the weights"),
        (lambda folder: (folder / "config.json").write_text('{"epochs": 4}'), "the configuration"),
        (lambda folder: scored(folder, threshold=0.6), "the threshold"),
        (lambda folder: scored(folder, temperature=1.0), "the temperature"),
        (lambda folder: scored(folder, bias=0.0), "the bias"),
        (lambda folder: scored(folder, rule="specificity>=0.9"), "the threshold rule"),
    ],
)
def test_every_change_after_the_lock_is_named(run, change, named):
    change(run)
    found = verify(run)
    assert not found.kept
    assert f": {named} changed since" in found.verdict


def test_a_lock_written_after_the_figures_is_worth_nothing(run):
    os.utime(run / "metrics.json", (0, 0))
    found = verify(run)
    assert not found.kept
    assert found.verdict.startswith("too late")


def test_locking_the_same_again_changes_nothing(run):
    before = (run / "lock.json").read_bytes()
    write_lock(run, **CHOICE)
    assert (run / "lock.json").read_bytes() == before


def test_locking_other_things_is_not_hidden(run):
    """A second choice after test was seen must not look like a first one."""
    write_lock(run, **(CHOICE | {"threshold": 0.6}))
    scored(run, threshold=0.6)
    found = verify(run)
    assert not found.kept
    assert "locked 1 time before with others" in found.verdict
    assert json.loads((run / "lock.json").read_text())["earlier"][0]["locked"]["threshold"] == 0.43


def test_a_run_without_a_lock_has_no_verdict(tmp_path):
    assert verify(tmp_path) is None


def test_missing_and_broken_files_are_one_clear_error(run):
    whole = (run / "metrics.json").read_text()
    (run / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match="not complete"):
        verify(run)
    (run / "metrics.json").write_text(whole)
    (run / "lock.json").write_text("[]")
    with pytest.raises(InputError, match=r"lock\.json"):
        verify(run)
    (run / "lock.json").unlink()
    (run / "model.keras").unlink()
    with pytest.raises(InputError, match=r"model\.keras"):
        write_lock(run, **CHOICE)
