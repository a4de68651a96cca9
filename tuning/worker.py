"""`python -m tuning.worker`: one worker of `--workers N`, started by its chief. Clusters use `python -m tuning`."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from pneumo_tfds.program.command import INTERRUPTED, Command, run


@dataclass(frozen=True, kw_only=True)
class WorkerCommand(Command):
    """Train trials for the chief that started this process, until there are no more or the chief has ended."""

    run_dir: Path
    """The chief's run folder."""


def work(command: WorkerCommand) -> None:
    """Train trials, and end with the chief."""
    end_with_chief()
    from tuning.session import run_worker

    run_worker(command.run_dir)


def end_with_chief() -> None:
    """Start a thread that ends this process when the chief has ended, in whatever way."""

    def watch() -> None:
        os.read(0, 1)  # nothing is ever written to this pipe; the read returns when the chief's end of it is closed
        os._exit(INTERRUPTED)

    threading.Thread(target=watch, name="watch", daemon=True).start()


if __name__ == "__main__":
    run(WorkerCommand, work, prog="python -m tuning.worker")
