"""The evaluation lock notices any change between choosing and scoring."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.evaluation.evaluation_lock import verify, write_lock
from pipeline.evaluation.operating_point import OperatingPoint
from pipeline.evaluation.scoring import Decision
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError

CHOICE = {"temperature": 1.25, "bias": 0.5, "threshold": 0.43, "rule": "youden"}


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path)
    run.model.write_bytes(b"weights")
    run.config.write_text('{"epochs": 3}')
    lock(run)
    scored(run)
    return run


def lock(run, **changes):
    decided = CHOICE | changes
    point = OperatingPoint(decided["threshold"], decided["rule"], "validation", 0.9, 0.8)
    write_lock(run, Decision(decided["temperature"], point, {}, decided["bias"]))


def scored(run, **changes):
    used = CHOICE | changes
    point = {"threshold": used["threshold"], "rule": used["rule"], "chosen_on": "validation"}
    point |= {"sensitivity": 0.9, "specificity": 0.8}
    content = {"temperature": used["temperature"], "bias": used["bias"], "operating_point": point, "calibration": {}}
    run.metrics.write_text(json.dumps(content))


def locked(run):
    return json.loads(run.evaluation_lock.read_text())


def test_what_was_locked_and_scored_unchanged_is_kept(run):
    found = verify(run)
    assert found.kept is True
    locked_at = locked(run)["locked_at"]
    assert found.summary == (
        f"kept. Weights, configuration, temperature and threshold are those locked at {locked_at}, "
        "before test was scored."
    )


def test_a_lock_holds_hashes_choice_and_time(run):
    before = locked(run)
    assert before["locked"] == {
        "weights": hashlib.sha256(b"weights").hexdigest(),
        "configuration": hashlib.sha256(b'{"epochs": 3}').hexdigest(),
        **CHOICE,
    }
    assert before["earlier"] == []
    at = datetime.fromisoformat(before["locked_at"])
    assert at.utcoffset() == timedelta(0)
    assert at.microsecond == 0
    assert abs(datetime.now(UTC) - at) < timedelta(hours=1)


def test_a_choice_without_a_bias_has_none(run):
    """Figures from before there were biases say nothing of one."""
    run.evaluation_lock.unlink()
    lock(run, bias=0.0)
    assert locked(run)["locked"]["bias"] == 0.0
    metrics = json.loads(run.metrics.read_text())
    del metrics["bias"]
    run.metrics.write_text(json.dumps(metrics))
    assert verify(run).kept


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda run: run.model.write_bytes(b"other weights"), "the weights"),
        (lambda run: run.config.write_text('{"epochs": 4}'), "the configuration"),
        (lambda run: scored(run, threshold=0.6), "the threshold"),
        (lambda run: scored(run, temperature=1.0), "the temperature"),
        (lambda run: scored(run, bias=0.0), "the bias"),
        (lambda run: scored(run, rule="specificity>=0.9"), "the threshold rule"),
    ],
)
def test_every_change_after_the_lock_is_named(run, change, named):
    change(run)
    found = verify(run)
    assert found.kept is False
    assert found.summary == f"broken. What was scored is not what was locked: {named} changed since."


def test_several_changes_are_all_named(run):
    run.model.write_bytes(b"other weights")
    scored(run, threshold=0.6)
    assert "not what was locked: the weights, the threshold changed since" in verify(run).summary


def test_a_lock_written_after_the_figures_is_worth_nothing(run):
    os.utime(run.metrics, (0, 0))
    found = verify(run)
    assert found.kept is False
    locked_at = locked(run)["locked_at"]
    assert found.summary == f"too late. It was written at {locked_at}, after the figures of this report."
    second = datetime.fromisoformat(locked_at).timestamp()
    os.utime(run.metrics, (second, second))  # in the very second of the lock is in time
    assert verify(run).kept


def test_a_run_without_test_is_not_said_to_have_scored_it(run):
    content = json.loads(run.metrics.read_text())
    run.metrics.write_text(json.dumps(content | {"splits": {"validation": {}}}))
    assert verify(run).kept
    assert verify(run).summary.endswith(", and no test split was scored.")


def test_locking_the_same_again_changes_nothing(run):
    before = run.evaluation_lock.read_bytes()
    lock(run)
    assert run.evaluation_lock.read_bytes() == before


def test_locking_other_things_is_not_hidden(run):
    """A second choice after test was seen must not look like a first one."""
    lock(run, threshold=0.6)
    scored(run, threshold=0.6)
    found = verify(run)
    assert found.kept is False
    assert found.summary.startswith("kept. Weights, configuration, temperature and threshold are those locked at 20")
    assert found.summary.endswith(", but this run was locked 1 time before with others.")
    first = locked(run)["earlier"][0]
    assert first["locked"]["threshold"] == 0.43
    assert first["locked_at"].startswith("20")
    lock(run, threshold=0.7)
    scored(run, threshold=0.7)
    assert verify(run).summary.endswith(", but this run was locked 2 times before with others.")
    earlier = locked(run)["earlier"]
    assert [one["locked"]["threshold"] for one in earlier] == [0.43, 0.6]
    assert earlier[0] == first


def test_a_run_without_a_lock_has_nothing_to_check(tmp_path):
    assert verify(RunFolder(tmp_path)) is None


def test_missing_and_broken_files_are_one_clear_error(run):
    whole = run.metrics.read_text()
    run.metrics.write_text("{}")
    with pytest.raises(InputError, match=r"metrics\.json lacks .* \('operating_point'\); evaluate the run"):
        verify(run)
    for broken in ("no JSON", "[]"):
        run.metrics.write_text(broken)
        with pytest.raises(InputError, match=r"metrics\.json.*evaluate the run again"):
            verify(run)
    run.metrics.unlink()
    with pytest.raises(InputError, match=r"metrics\.json is not there"):
        verify(run)
    run.metrics.write_text(whole)
    before = locked(run)
    for lacking in ("locked", "locked_at", "earlier"):
        run.evaluation_lock.write_text(json.dumps({name: before[name] for name in before if name != lacking}))
        with pytest.raises(InputError, match=r"lock\.json is not a valid lock; remove it and evaluate the run again"):
            verify(run)
    run.evaluation_lock.write_text(json.dumps(before | {"locked_at": "yesterday"}))
    with pytest.raises(InputError, match=r"is not complete \(.*yesterday.*\)"):
        verify(run)
    run.evaluation_lock.unlink()
    run.model.unlink()
    with pytest.raises(InputError, match=r"cannot read .*model\.keras: No such file or directory; the evaluation lock"):
        lock(run)
    assert not run.evaluation_lock.exists()
