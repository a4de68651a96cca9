"""Completion of `pneumo` in shells: `pneumo completion bash`."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import tyro

from pneumo_tfds.console_script import COMMANDS
from pneumo_tfds.program.command import Command, run


@dataclass(frozen=True, kw_only=True)
class Completion(Command):
    """Print the script by which a shell completes commands, flags and their choices."""

    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]
    """Which shell."""


def print_script(command: Completion) -> None:
    """Import every command, which takes a second, and let tyro write the script."""
    kinds: list[Any] = []
    for name, target in COMMANDS.items():
        module, _, kind = target.partition(":")
        kinds.append(Annotated[getattr(importlib.import_module(module), kind), tyro.conf.subcommand(name=name)])
    every: Any = Union[tuple(kinds)]  # noqa: UP007 (built at run time)
    arguments = ["--tyro-write-completion", command.shell, "-"]
    script = io.StringIO()
    with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
        tyro.cli(every, prog="pneumo", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    # tyro 1.0.17 takes every line of a flag's help for a flag.
    print(re.sub("^COMPLETION_SPEC.*", lambda found: found[0].replace(r"\n", " "), script.getvalue(), flags=re.M))


if __name__ == "__main__":
    run(Completion, print_script, prog="python -m pneumo_tfds.completion")
