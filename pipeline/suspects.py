"""Find labels that are probably wrong: `python -m pipeline.suspects RUN`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.quiet import quiet_tensorflow


@dataclass(frozen=True, kw_only=True)
class Suspects(Command):
    """Show the images whose label is probably wrong, by what networks say that have not seen them, for you to decide.

    Writes suspects.html, a page to look at, and suspects.csv, whose column decision you fill in. Then:
    python -m pipeline.train --source SAME --corrections RUN/suspects.csv
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a run with --folds."""


def suspects(command: Suspects) -> None:
    """Write page and table, and print a summary."""
    quiet_tensorflow()
    from pipeline.stages.find_suspects import find_suspects

    print("\n".join(find_suspects(command.run)))


if __name__ == "__main__":
    run(Suspects, suspects, prog="python -m pipeline.suspects")
