"""`python -m tuning.worker`: one worker of `--workers N`, started by its chief. Clusters use `python -m tuning`."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from pneumo_tfds.program.command import INTERRUPTED, Command, run


@dataclass(frozen=True, kw_only=True)
class WorkerCommand(Command):
    """Try trials for the chief that started this process, until it has no more or is gone."""

    run_dir: Path
    """The chief's run folder."""


def work(command: WorkerCommand) -> None:
    """Watch the chief, and work."""
    threading.Thread(target=_end_with_chief, name="watch", daemon=True).start()
    from tuning.session import work

    work(command.run_dir)


def _end_with_chief() -> None:
    # Nothing is ever written to this pipe. When the chief is gone, however it went, the read ends.
    os.read(0, 1)
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    run(WorkerCommand, work, prog="python -m tuning.worker")
