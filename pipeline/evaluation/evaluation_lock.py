"""The evaluation lock: what is about to be judged, written down before `test` is opened, and checked afterwards.

It shows that weights, temperature, threshold and settings were final when test was scored. It is a record for honest
people, not a proof against others: whoever can write the run folder can write `lock.json`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, read_json, write_json

FILE = "lock.json"
NAMES = {
    "weights": "the weights",
    "configuration": "the configuration",
    "temperature": "the temperature",
    "bias": "the bias",
    "threshold": "the threshold",
    "rule": "the threshold rule",
}


@dataclass(frozen=True)
class Verdict:
    """Whether what was scored is what was locked."""

    kept: bool
    verdict: str
    """One sentence for the report."""


def write_lock(run_dir: Path, temperature: float, threshold: float, rule: str, bias: float = 0.0) -> Path:
    """Lock a run: `model.keras` and `config.json` by their hashes, and the choice made on validation.

    Call it when the model is saved and the choice is made, before any image of `test` is scored. Locking the same
    things again changes nothing. Locking others keeps the earlier lock in the file, so that it cannot be hidden that
    test may have been seen before.

    Raises:
        InputError: the model or the configuration is not there.
    """
    path = run_dir / FILE
    locked = {
        "weights": _sha256(run_dir / "model.keras"),
        "configuration": _sha256(run_dir / "config.json"),
        "temperature": temperature,
        "bias": bias,
        "threshold": threshold,
        "rule": rule,
    }
    earlier: list[Any] = []
    if path.exists():
        before = _read(path)
        if before["locked"] == locked:
            return path
        earlier = [*before["earlier"], {"locked_at": before["locked_at"], "locked": before["locked"]}]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(path, {"locked_at": now, "locked": locked, "earlier": earlier})
    return path


def verify(run_dir: Path) -> Verdict | None:
    """Compare the run folder as it is, and what `metrics.json` says was used, with the lock; None without a lock.

    Raises:
        InputError: a file that the lock is about cannot be read.
    """
    path = run_dir / FILE
    if not path.exists():
        return None
    lock, metrics = _read(path), _read(run_dir / "metrics.json")
    try:
        found = {
            "weights": _sha256(run_dir / "model.keras"),
            "configuration": _sha256(run_dir / "config.json"),
            "temperature": metrics["temperature"],
            "bias": metrics.get("bias", 0.0),
            "threshold": metrics["operating_point"]["threshold"],
            "rule": metrics["operating_point"]["rule"],
        }
        changed = [words for name, words in NAMES.items() if found[name] != lock["locked"][name]]
        if changed:
            return Verdict(
                False, f"broken. What was scored is not what was locked: {', '.join(changed)} changed since."
            )
        text = f"kept. Weights, configuration, temperature and threshold are those locked at {lock['locked_at']}"
        locked_at = datetime.fromisoformat(lock["locked_at"]).timestamp()
        if (run_dir / "metrics.json").stat().st_mtime < locked_at:
            return Verdict(False, f"too late. It was written at {lock['locked_at']}, after the figures of this report.")
        if lock["earlier"]:
            times = len(lock["earlier"])
            return Verdict(
                False, f"{text}, but this run was locked {times} time{'s' * (times > 1)} before with others."
            )
        return Verdict(True, f"{text}, before test was scored.")
    except InputError:
        raise
    except JSON_SHAPE_ERRORS as error:
        raise InputError(f"{path} or metrics.json is not complete ({error}); evaluate the run again") from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; the evaluation lock needs it") from error


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path, "evaluate the run again")
    if isinstance(content, dict) and (path.name != FILE or {"locked", "locked_at", "earlier"} <= set(content)):
        return content
    raise InputError(f"{path} is not what pipeline wrote; remove it and evaluate the run again")
