"""The evaluation lock: a record, written before `test` is scored, of everything that was decided by then.

It shows that weights, temperature, bias, threshold and settings were final when test was scored. It is a record for
honest people, not a proof against others: anyone who can write to the run folder can write `lock.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.evaluation.scoring import Decision
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, sha256_of, write_json
from pneumo_tfds.program.wording import counted

DECIDING_SPLITS = ("train", "validation")
"""Splits whose figures may be seen before something is decided."""
NAMES = {"rule": "threshold rule", "doubt": "limits of certain answers"}


class LockCheck(NamedTuple):
    """Whether what was scored is what was locked, and a sentence about it for the report."""

    kept: bool
    summary: str


def write_lock(folder: RunFolder, decision: Decision) -> None:
    """Lock a run: `model.keras` and `config.json` by their hashes, and the decision made on validation.

    Call it when the model is saved and the decision is made, before any image of `test` is scored. Locking the same
    things again changes nothing. Locking others keeps the earlier lock in the file, so that it cannot be hidden that
    test may have been seen before; and if figures of test exist already, that is recorded.

    Raises:
        InputError: the model or the configuration does not exist.
    """
    path, locked = folder.evaluation_lock, _final_state(folder, decision)
    earlier: list[Any] = []
    if path.exists():
        before = _read_lock(folder)
        if before["locked"] == locked:
            return
        earlier = [*before["earlier"], {name: value for name, value in before.items() if name != "earlier"}]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    scored = folder.read_json_if_there(folder.metrics).get("splits", {})
    seen = [name for name in scored if name not in DECIDING_SPLITS]
    write_json(path, {"locked_at": now, "locked": locked, "scored_before": seen, "earlier": earlier})


def verify(folder: RunFolder) -> LockCheck | None:
    """Compare the run folder, and the decision that `metrics.json` records, with the lock; None without a lock.

    Raises:
        InputError: a file that the lock is about cannot be read.
    """
    path = folder.evaluation_lock
    if not path.exists():
        return None
    lock, metrics = _read_lock(folder), folder.metrics
    scored = folder.read_json(metrics)
    found = _final_state(folder, Decision.from_json(scored, metrics))
    try:
        names = [name for name, value in found.items() if value != lock["locked"].get(name)]
        locked_at, times = lock["locked_at"], len(lock["earlier"])
        too_late = metrics.stat().st_mtime < datetime.fromisoformat(locked_at).timestamp()
        seen = [name for name in lock.get("scored_before", ()) if name not in DECIDING_SPLITS]
        again = _after(seen, lock) if seen and times else ""
    except JSON_SHAPE_ERRORS as error:
        raise InputError(f"{path} is not complete ({error}); evaluate the run again") from error
    if names and too_late:
        remedy = "give the command that decides again once more"
        return LockCheck(False, f"unfinished. At {locked_at} other values were locked than this report has; {remedy}.")
    if names:
        changed = ", ".join(f"the {NAMES.get(name, name)}" for name in names)
        return LockCheck(False, f"broken. What was scored is not what was locked: {changed} changed since.")
    if too_late:
        return LockCheck(False, f"too late. It was written at {locked_at}, after the figures of this report.")
    text = f"kept. Weights, configuration, temperature and threshold are those locked at {locked_at}"
    if again:
        return LockCheck(False, again)
    if times:
        return LockCheck(False, f"{text}, but this run was locked {counted(times, 'time')} before with others.")
    untested = "test" not in scored.get("splits", ("test",))
    before = "and no test split was scored" if untested else "before test was scored"
    return LockCheck(True, f"{text}, {before}.")


def _after(seen: Sequence[str], lock: Mapping[str, Any]) -> str:
    """Say what was known when a decision was made again, and which was the first."""
    first, scored = lock["earlier"][0]["locked"], " and ".join(seen)
    return (
        f"decided again. Threshold or limits were changed after the {scored} figures were known (the first threshold "
        f"was {first['threshold']}, by {first['rule']}, locked at {lock['earlier'][0]['locked_at']}). No {scored} "
        f"image was used, but the {scored} figures may look too good."
    )


def _final_state(folder: RunFolder, decision: Decision) -> dict[str, Any]:
    return {
        "weights": _sha256(folder.model),
        "configuration": _sha256(folder.config),
        "temperature": decision.temperature,
        "bias": decision.bias,
        "threshold": decision.operating_point.threshold,
        "rule": decision.operating_point.rule,
        **({"doubt": asdict(decision.doubt)} if decision.doubt else {}),
    }


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}; the evaluation lock needs it") from error


def _read_lock(folder: RunFolder) -> dict[str, Any]:
    content = folder.read_json(folder.evaluation_lock)
    if not {"locked", "locked_at", "earlier"} <= set(content):
        raise InputError(f"{folder.evaluation_lock} is not a valid lock; remove it and evaluate the run again")
    return content
