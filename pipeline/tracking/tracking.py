"""The trackers that follow a run folder. Each is told what it does not know yet, so nothing is lost or told twice.

`RUN/tracking/told.json` holds which trackers follow the run and what each was told. What a tracker missed, because its
server was down or because the run began without it, it is told at the end of the run or with `--resume`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.tracking.tracker import TrackedRun, Tracker, TrackingError, Value, tracker_class
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import read_json, write_json


@dataclass(frozen=True)
class Record:
    """What is known so far of a training, a search or a trial."""

    name: str
    """`training`, `search` or `trial 3`."""
    settings: Mapping[str, Value]
    epochs: Sequence[tuple[int, Mapping[str, float]]] = ()
    """Number of the epoch and the values of its curves, oldest first."""
    figures: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, Path] = field(default_factory=dict)
    """PNG files by name."""
    ended: bool = False
    failed: bool = False
    parent: str | None = None
    """The record that this one belongs to; it is told first."""


class Tracking:
    """The trackers of one run folder, and what each was told."""

    def __init__(
        self, run_folder: Path, names: Sequence[str], main: str, *, resume: bool, warn: Callable[[str], None] = print
    ) -> None:
        """Create the trackers that `names` asks for, and those that followed this run before.

        Args:
            run_folder: of the run; nothing is written to it before something is told.
            names: as `--track` has them.
            main: the name of the record that will be told first.
            resume: whether the run is resumed. Then a tool that cannot be reached is a warning.
            warn: called with one line when a tracker fails.

        Raises:
            InputError: a tracker is unknown, not installed, or cannot be reached at the start of a run.
        """
        self._folder, self._warn = run_folder, warn
        self._file = run_folder / "tracking" / "told.json"
        remedy = "remove it to track this run anew"
        self._told: dict[str, Any] = read_json(self._file, remedy) if self._file.exists() else {}
        self._open: dict[tuple[str, str], Tracker] = {}
        self._begun: set[tuple[str, str]] = set()
        self._failed: set[str] = set()
        self._classes = {name: tracker_class(name) for name in dict.fromkeys([*self._told, *names])}
        for name in self._classes:
            try:
                self._tracker(name, main, None)
            except (TrackingError, OSError) as error:
                if not resume:
                    raise InputError(f"--track {name}: {reason_of(error)}; correct that, or leave it out") from error
                self._set_aside(name, error)

    @property
    def names(self) -> list[str]:
        """The trackers that follow the run, as `--track` names them."""
        return list(self._classes)

    def tell(self, record: Record, *, last: bool = False) -> None:
        """Tell every tracker what it does not know of a record.

        A tracker that has failed is set aside, with one warning, until the last call.
        """
        for name in self._classes:
            if name in self._failed and not last:
                continue
            try:
                self._tell(name, record)
            except (TrackingError, OSError) as error:
                self._set_aside(name, error)

    def _tell(self, name: str, record: Record) -> None:
        known, end = self._known(name, record.name), _digest(record) if record.ended else None
        if len(record.epochs) <= known["epochs"] and end == known["end"]:
            return
        tracker = self._tracker(name, record.name, record.parent)
        if (name, record.name) not in self._begun:
            tracker.begin(record.settings)
            self._begun.add((name, record.name))
        for number, values in record.epochs[known["epochs"] :]:
            tracker.epoch(number, values)
            known["epochs"] += 1
            self._save()
        if end:
            tracker.end(record.figures, record.texts, record.pictures, failed=record.failed)
            known["end"] = end
            self._begun.discard((name, record.name))
            del self._open[name, record.name]
        self._save()

    def _tracker(self, name: str, record: str, parent: str | None) -> Tracker:
        if (name, record) not in self._open:
            above = TrackedRun(parent, self._folder, self._known(name, parent)["key"]) if parent else None
            tracked = TrackedRun(record, self._folder, self._known(name, record)["key"], above)
            self._open[name, record] = self._classes[name](tracked)
        return self._open[name, record]

    def _known(self, name: str, record: str) -> dict[str, Any]:
        new = {"key": secrets.token_hex(4), "epochs": 0, "end": ""}
        known: dict[str, Any] = self._told.setdefault(name, {}).setdefault(record, new)
        return known

    def _save(self) -> None:
        write_json(self._file, self._told)

    def _set_aside(self, name: str, error: Exception) -> None:
        self._failed.add(name)
        self._warn(
            f"Warning: --track {name}: {reason_of(error)}; the work goes on, and what is missing is sent at its end, "
            "or with --resume"
        )


def _digest(record: Record) -> str:
    content = json.dumps([dict(record.figures), dict(record.texts), record.failed], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
