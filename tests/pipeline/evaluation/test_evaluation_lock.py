"""The evaluation lock notices any change between choosing and scoring."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.evaluation.evaluation_lock import verify, write_lock
from pneumo_tfds.program.errors import InputError

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
    assert found.kept is True
    locked_at = json.loads((run / "lock.json").read_text())["locked_at"]
    assert found.verdict == (
        f"kept. Weights, configuration, temperature and threshold are those locked at {locked_at}, "
        "before test was scored."
    )


def test_a_lock_holds_hashes_choice_and_time(run):
    lock = json.loads((run / "lock.json").read_text())
    assert lock["locked"] == {
        "weights": hashlib.sha256(b"weights").hexdigest(),
        "configuration": hashlib.sha256(b'{"epochs": 3}').hexdigest(),
        **CHOICE,
    }
    assert lock["earlier"] == []
    at = datetime.fromisoformat(lock["locked_at"])
    assert at.utcoffset() == timedelta(0)
    assert at.microsecond == 0
    assert abs(datetime.now(UTC) - at) < timedelta(hours=1)


def test_a_choice_without_a_bias_has_none(run):
    """Figures from before there were biases say nothing of one."""
    (run / "lock.json").unlink()
    choice = {name: value for name, value in CHOICE.items() if name != "bias"}
    assert write_lock(run, **choice) == run / "lock.json"
    assert json.loads((run / "lock.json").read_text())["locked"]["bias"] == 0.0
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["bias"]
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert verify(run).kept


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
    assert found.kept is False
    assert found.verdict == f"broken. What was scored is not what was locked: {named} changed since."


def test_several_changes_are_all_named(run):
    (run / "model.keras").write_bytes(b"other weights")
    scored(run, threshold=0.6)
    assert "not what was locked: the weights, the threshold changed since" in verify(run).verdict


def test_a_lock_written_after_the_figures_is_worth_nothing(run):
    os.utime(run / "metrics.json", (0, 0))
    found = verify(run)
    assert found.kept is False
    locked_at = json.loads((run / "lock.json").read_text())["locked_at"]
    assert found.verdict == f"too late. It was written at {locked_at}, after the figures of this report."
    second = datetime.fromisoformat(locked_at).timestamp()
    os.utime(run / "metrics.json", (second, second))  # in the very second of the lock is in time
    assert verify(run).kept


def test_locking_the_same_again_changes_nothing(run):
    before = (run / "lock.json").read_bytes()
    assert write_lock(run, **CHOICE) == run / "lock.json"
    assert (run / "lock.json").read_bytes() == before


def test_locking_other_things_is_not_hidden(run):
    """A second choice after test was seen must not look like a first one."""
    write_lock(run, **(CHOICE | {"threshold": 0.6}))
    scored(run, threshold=0.6)
    found = verify(run)
    assert found.kept is False
    assert found.verdict.startswith("kept. Weights, configuration, temperature and threshold are those locked at 20")
    assert found.verdict.endswith(", but this run was locked 1 time before with others.")
    first = json.loads((run / "lock.json").read_text())["earlier"][0]
    assert first["locked"]["threshold"] == 0.43
    assert first["locked_at"].startswith("20")
    write_lock(run, **(CHOICE | {"threshold": 0.7}))
    scored(run, threshold=0.7)
    assert verify(run).verdict.endswith(", but this run was locked 2 times before with others.")
    earlier = json.loads((run / "lock.json").read_text())["earlier"]
    assert [one["locked"]["threshold"] for one in earlier] == [0.43, 0.6]
    assert earlier[0] == first


def test_a_run_without_a_lock_has_no_verdict(tmp_path):
    assert verify(tmp_path) is None


def test_missing_and_broken_files_are_one_clear_error(run):
    whole = (run / "metrics.json").read_text()
    (run / "metrics.json").write_text("{}")
    with pytest.raises(
        InputError, match=r"lock\.json or metrics\.json is not complete \('temperature'\); evaluate the run"
    ):
        verify(run)
    for broken in ("no JSON", "[]"):
        (run / "metrics.json").write_text(broken)
        with pytest.raises(InputError, match=r"metrics\.json.*evaluate the run again"):
            verify(run)
    (run / "metrics.json").unlink()
    with pytest.raises(InputError, match=r"cannot read .*metrics\.json \(.*No such file.*\); evaluate the run again"):
        verify(run)
    (run / "metrics.json").write_text(whole)
    lock = json.loads((run / "lock.json").read_text())
    for lacking in ("locked", "locked_at", "earlier"):
        (run / "lock.json").write_text(json.dumps({name: lock[name] for name in lock if name != lacking}))
        with pytest.raises(
            InputError, match=r"lock\.json is not what pipeline wrote; remove it and evaluate the run again"
        ):
            verify(run)
    (run / "lock.json").write_text(json.dumps(lock | {"locked_at": "yesterday"}))
    with pytest.raises(InputError, match=r"is not complete \(.*yesterday.*\)"):
        verify(run)
    (run / "lock.json").unlink()
    (run / "model.keras").unlink()
    with pytest.raises(InputError, match=r"cannot read .*model\.keras: No such file or directory; the evaluation lock"):
        write_lock(run, **CHOICE)
    assert not (run / "lock.json").exists()
