"""What a tracker is: an observer that is told the settings, the epochs and the result of one training or trial."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.config.own_network import look_in_working_folder
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.installed import how_to_install

Value = str | float | bool
BUILT_IN = {
    "tensorboard": "pipeline.tracking.to_tensorboard:TensorBoardTracker",
    "mlflow": "pipeline.tracking.to_mlflow:MlflowTracker",
    "wandb": "pipeline.tracking.to_wandb:WandbTracker",
}
"""Names of `--track`, which are those of the extras too, and their classes."""
UNLESS_SET = {
    # Both would report to their makers: MLflow its use, W&B its errors.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    # A server that does not answer is waited for twice 10 seconds, not eight times 120.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    # The store in files, which MLflow 3.17 refuses otherwise, is the one local store of mlflow-skinny.
    "MLFLOW_ALLOW_FILE_STORE": "true",
}
"""Environment variables that are set before a tool is imported, unless the user has set them."""


class TrackingError(Exception):
    """Raised by a tracker whose tool cannot be reached or cannot write. The training goes on without it."""


@contextmanager
def explained(tool: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn these errors of a tool into a TrackingError that names it."""
    try:
        yield
    except errors as error:
        silent = "Max retries exceeded" in str(error)  # urllib3's words, of a connection refused and of one timed out
        raise TrackingError(f"{tool}: {'no answer' if silent else reason_of(error)[:200]}") from error


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is created for."""

    name: str
    """`training`, `search` or `trial 3`."""
    run_folder: Path
    key: str
    """Eight hex digits, unique for each tracker and run, and the same after `--resume`."""
    parent: TrackedRun | None = None
    """The search of a trial."""

    @property
    def store(self) -> Path:
        """The folder for whatever a tracker keeps on this machine."""
        return self.run_folder / "tracking"

    @property
    def title(self) -> str:
        """What people recognise the run by, such as `20261126-140000 training`."""
        return f"{self.run_folder.name} {self.name}"


class Tracker(Protocol):
    """An observer of one run. Its methods raise `TrackingError` or OSError for what should not end the training."""

    def __init__(self, run: TrackedRun) -> None:
        """Check that the tool can be reached, and write nothing yet: the run may still be refused."""

    def begin(self, settings: Mapping[str, Value]) -> None:
        """Open the run; if an earlier process began it, go on with it."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Add the curves' values after an epoch, counted from 1."""

    def end(
        self, figures: Mapping[str, float], texts: Mapping[str, str], pictures: Mapping[str, Path], *, failed: bool
    ) -> None:
        """Add the final figures, texts such as the hash of the ONNX file, and PNG files by name; close the run."""


def tracker_class(name: str) -> type[Tracker]:
    """Return the class that `--track` names: `tensorboard`, `mlflow`, `wandb`, or `package.module:Class`.

    Raises:
        InputError: there is no such class, or what it needs is not installed.
    """
    module, _, attribute = BUILT_IN.get(name, name).partition(":")
    if not attribute:
        raise InputError(f"--track {name}: choose from {', '.join(BUILT_IN)}, or name a class as package.module:Class")
    for variable, setting in UNLESS_SET.items():
        os.environ.setdefault(variable, setting)
    look_in_working_folder()
    try:
        found: type[Tracker] = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        extra = f"; {how_to_install(name)}" if name in BUILT_IN else ""
        raise InputError(f"--track {name} needs {error.name}, which is not installed{extra}") from error
    except AttributeError as error:
        raise InputError(f"--track {name}: {module} has no class {attribute}") from error
    return found
