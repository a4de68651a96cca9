"""Weights & Biases: files in `RUN/tracking/wandb/` for `wandb sync`; sent at once if the user set WANDB_MODE=online."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import wandb
from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError  # its own process has ended

from pipeline.tracking.tracker import TrackedRun, Value, explained

SECONDS_TO_BEGIN = 15.0  # for the server to answer; W&B itself waits 90


class WandbTracker:
    """Writes one run of W&B. Trials are a group named after their search."""

    def __init__(self, run: TrackedRun) -> None:
        self._tracked = run

    def begin(self, settings: Mapping[str, Value]) -> None:
        """Begin the run, or go on with it under the same id. Code, console, host and system figures are left out."""
        run, folder = self._tracked, Path(os.environ.get("WANDB_DIR", self._tracked.store))
        folder.mkdir(parents=True, exist_ok=True)
        quiet = wandb.Settings(
            console="off", disable_git=True, save_code=False, silent=True, host="", x_disable_stats=True,
            x_disable_meta=True, x_disable_machine_info=True, init_timeout=SECONDS_TO_BEGIN, x_save_requirements=False,
        )  # fmt: skip
        with _explained():
            self._run = wandb.init(
                mode=None if os.environ.get("WANDB_MODE") else "offline",
                project=os.environ.get("WANDB_PROJECT", "pneumo"),
                dir=str(folder), id=run.key, name=run.title, group=run.parent.title if run.parent else None,
                job_type=run.name.partition(" ")[0], resume="allow", reinit="create_new", config=dict(settings),
                settings=quiet,
            )  # fmt: skip
            self._run.define_metric("*", step_metric="epoch")

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Log the values, with the epoch as their horizontal axis."""
        with _explained():
            self._run.log({"epoch": number, **values})

    def end(
        self, figures: Mapping[str, float], texts: Mapping[str, str], pictures: Mapping[str, Path], *, failed: bool
    ) -> None:
        """Add figures and texts to the summary, log the pictures, and finish the run."""
        with _explained():
            self._run.summary.update({**figures, **texts})
            self._run.log({name: wandb.Image(str(path)) for name, path in pictures.items()})
            self._run.finish(exit_code=int(failed))


def _explained() -> AbstractContextManager[None]:
    return explained("Weights & Biases", wandb.Error, HandleAbandonedError, MailboxClosedError)
