"""The run folder: names of its files, its lock, and its settings."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pipeline.config import DataConfig, RunConfig
from pipeline.config.config_json import read, to_dict
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import read_json, write_json
from pneumo_tfds.program.locks import held
from pneumo_tfds.program.wording import quoted


class RunFolder:
    """The paths of one run, `runs/NAME/`, and the only place that knows their names. Creating it touches no file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.execution = path / "execution.json"
        self.history = path / "history.csv"
        self.model = path / "model.keras"
        self.metrics = path / "metrics.json"
        self.predictions = path / "predictions.csv"
        self.evaluation_lock = path / "lock.json"
        self.robustness = path / "robustness.json"
        self.shortcuts = path / "shortcuts.json"
        self.explanation = path / "explanation.json"
        self.report = path / "report.html"
        self.model_card = path / "model_card.md"
        self.checklist = path / "checklist.html"
        self.plots = path / "plots"
        self.onnx = path / "model.onnx"
        self.onnx_fp16 = path / "model.fp16.onnx"
        self.onnx_int8 = path / "model.int8.onnx"
        self.onnx_any_size = path / "model.any_size.onnx"
        self.parity = path / "parity.json"
        self.golden = path / "golden.npz"
        self.bill_of_materials = path / "bom.cdx.json"
        self.checkpoint = path / "checkpoint"
        self.tuner = path / "tuner"
        self.folds = path / "folds.json"
        self.out_of_fold = path / "out_of_fold.csv"
        self.suspects = path / "suspects.csv"
        self.suspects_page = path / "suspects.html"
        self.search_start = self.tuner / "start.json"
        self.search_winner = self.tuner / "best.json"
        self.finished = path / "finished.json"

    @property
    def can_go_on(self) -> bool:
        """Whether there is a run that `--resume` would continue."""
        return self.config.exists() or self.search_start.exists()

    @property
    def to_go_on(self) -> str:
        """The command that continues this run."""
        return f"python -m pipeline.train --run-dir {quoted(self.path)} --resume"

    def history_of(self, number: int) -> Path:
        """Return the table of epochs of network `number`, counted from 0; that of network 0 is `history`."""
        return self.history.with_stem(f"history-{number + 1}") if number else self.history

    def checkpoint_of(self, number: int) -> Path:
        """Return the checkpoint folder of network `number`, counted from 0; that of network 0 is `checkpoint`."""
        return self.checkpoint / f"network-{number + 1}" if number else self.checkpoint

    def fold(self, number: int) -> RunFolder:
        """Return the folder of fold `number` of a run with `--folds`, counted from 1."""
        return RunFolder(self.path / f"fold-{number}")

    def evaluation_of(self, scored: DataConfig) -> RunFolder:
        """Return the folder for the figures of another source: each source, read in one way, has one of its own.

        It is `evaluation-NAME` by the last part of the path, which is absolute; with a hash of path and reading if
        another source has that name, or this one was read in another way (`--positive`, `--corrections` and the
        like).
        """
        name = f"evaluation-{Path(str(scored.source)).name}"
        digest = hashlib.sha256(repr(_identity(scored)).encode("utf-8", "surrogateescape")).hexdigest()[:8]
        plain, hashed = RunFolder(self.path / name), RunFolder(self.path / f"{name}-{digest}")
        return hashed if plain.path.exists() and not plain.is_of(scored) else plain

    def is_of(self, scored: DataConfig) -> bool:
        """Return whether the folder's settings name this source, an absolute path, read in this way."""
        try:
            return _identity(self.read_config().data) == _identity(scored)
        except InputError:
            return False

    def start(self, *, resume: bool) -> None:
        """Check that a new run may start in this folder, or that there is a run to continue.

        Raises:
            InputError: the folder holds a run and `resume` is false, or holds none and `resume` is true.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; name a folder with --run-dir")
        occupied = self.path.exists() and any(not entry.name.startswith(".") for entry in self.path.iterdir())
        if occupied and not resume and self.finished.exists():
            raise InputError(f"{self.path} holds a finished run; open {self.report}, or name another --run-dir")
        if occupied and not resume:
            raise InputError(f"{self.path} already holds a run; continue it with --resume, or name another --run-dir")
        if resume and not self.can_go_on:
            raise InputError(f"{self.path} holds no run to resume (no config.json); leave --resume out to start one")

    def require_folder(self) -> None:
        """Raise InputError if the folder is not there."""
        if not self.path.is_dir():
            raise InputError(f"{self.path} is not a folder; give the folder of a finished run, such as runs/first")

    def locked(self, what: str = "") -> AbstractContextManager[None]:
        """Hold the folder, which is created if need be, for this process; a second process is refused.

        Args:
            what: a part of the work in the folder that has a lock of its own; empty for the whole run.

        Raises:
            InputError: another process holds it, or the folder cannot be written.
        """
        return held(self.path, f".{what}.lock" if what else ".lock")

    def write_config(self, config: RunConfig) -> None:
        """Write the settings that the networks of this run are trained with, once, before training."""
        write_json(self.config, to_dict(config))

    def forget_unused_settings(self) -> None:
        """Remove the settings if nothing else is in the folder: nothing was trained, so others may be tried."""
        settings = {self.config, self.execution}
        if {entry for entry in self.path.iterdir() if not entry.name.startswith(".")} <= settings:
            for path in settings:
                path.unlink(missing_ok=True)

    def read_config(self) -> RunConfig:
        """Read the settings that the networks of this run are trained with.

        Raises:
            InputError: the folder is not a run, or its config.json is broken.
        """
        if not self.config.exists():
            raise InputError(f"{self.path} is not a run folder (no config.json); give one that pipeline.train made")
        return read(self.config, RunConfig)

    def read_start(self) -> RunConfig:
        """Read the settings that this run was started with: of a search `tuner/start.json`, else `config.json`.

        Raises:
            InputError: like `read_config`.
        """
        return read(self.search_start, RunConfig) if self.search_start.exists() else self.read_config()

    def import_own_network(self) -> None:
        """Import the module of a network of the user, which has the classes of its layers, before the model is loaded.

        Raises:
            InputError: it is not in this environment, or is not the version that the run was made with.
        """
        _ = self.read_config().model.own

    def read_json_if_there(self, path: Path) -> dict[str, Any]:
        """Read one of the folder's JSON files, empty if it is not there; raises InputError if it is damaged."""
        return self.read_json(path) if path.exists() else {}

    def read_json(self, path: Path) -> dict[str, Any]:
        """Read one of the folder's JSON files.

        Raises:
            InputError: it is not there yet, or it is damaged.
        """
        if not path.exists():
            raise InputError(f"{path} is not there; finish the run first: {self.to_go_on}")
        content = read_json(path, "evaluate the run again, or restore the file from a backup")
        if not isinstance(content, dict):
            raise InputError(f"{path} is not a JSON object; evaluate the run again, or restore the file from a backup")
        return content


def _identity(data: DataConfig) -> tuple[object, ...]:
    """Return the source of some data and how it is read."""
    source = None if data.source is None else str(data.source.resolve())
    corrections = map(str, data.corrections)  # absolute, as `with_images_to_score` records them
    return source, data.layout, data.positive, data.negative, data.uncertain, *corrections
