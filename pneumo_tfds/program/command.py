"""What every command of the project shares: the command line made from a dataclass, exit codes, one-line errors.

A command is a frozen dataclass whose fields are its flags, plus a function that takes it. Parsing imports nothing
heavy, so `--help` answers at once; the function imports TensorFlow when its work starts.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, TypeVar, Union

import tyro

from pneumo_tfds.program.errors import InputError, plain
from pneumo_tfds.program.machine_errors import explained, refusals

DONE, BAD_INPUT, INTERRUPTED, UNREAD = 0, 2, 130, 141
"""Exit codes; the last is what a shell gives a program whose reader has gone, as in `| head`."""

Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class Command:
    """Flags that every command has."""

    debug: bool = False
    """Show the traceback of an error instead of one line."""


def run(
    config_type: type[Config], action: Callable[[Config], int | None], *, prog: str, default: Config | None = None
) -> NoReturn:
    """Parse `sys.argv` into `config_type`, run `action` on it, and leave the process with the right exit code.

    Args:
        config_type: a frozen dataclass; its docstring and field docs become `--help`.
        action: the work; returns an exit code or None for 0. An `InputError` it raises becomes one line
            and exit code 2.
        prog: how the command is called, for usage lines, such as `python -m pneumo_tfds`.
        default: an instance whose values are the defaults, for example one read from a file.
    """
    _leave(prog, lambda: (action, _parse(config_type, prog, default)))


def run_one_of(commands: Mapping[str, tuple[type[Any], Callable[[Any], int | None]]], *, prog: str) -> NoReturn:
    """Like `run` for a command with subcommands: name to (dataclass, action)."""
    members = tuple(Annotated[kind, tyro.conf.subcommand(name=name)] for name, (kind, _) in commands.items())
    actions = dict(commands.values())

    def parse() -> tuple[Callable[[Any], int | None], Any]:
        config = _parse(Union[members], prog, None)  # noqa: UP007 (built at run time)
        return actions[type(config)], config

    _leave(prog, parse)


def quiet_tensorflow() -> None:
    """Import TensorFlow without the start-up notes it writes past Python, straight to the terminal.

    They are held back while it is imported, and shown if that fails. `TF_CPP_MIN_LOG_LEVEL`, if set, decides the rest.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        except BaseException:
            notes.seek(0)
            os.write(terminal, notes.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _parse(config_type: Any, prog: str, default: Any) -> Any:
    keyword = {} if default is None else {"default": default}
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(config_type, prog=prog, config=(tyro.conf.OmitArgPrefixes,), **keyword)
    except SystemExit as left:
        if left.code == BAD_INPUT:
            raise InputError(_one_line(box.getvalue())) from None
        raise


def _one_line(box: str) -> str:
    """Give the text of the box that tyro draws around an error, its parts joined by semicolons."""
    parts: list[str] = [""]
    for line in box.splitlines()[1:]:
        text = line.strip("│╰╯ ")
        if text and not text.strip("─"):
            parts.append("")
        else:
            parts[-1] = f"{parts[-1]} {text}".strip()
    own = re.match(r"Error parsing \w+: (.*)", parts[0])  # one of our own checks, which says all there is to say
    return own[1] if own else "; ".join(part for part in parts if part)


def _leave(prog: str, parse: Callable[[], tuple[Callable[[Any], int | None], Any]]) -> NoReturn:
    debug, config = "--debug" in sys.argv[1:], None
    try:
        action, config = parse()
        code = action(config) or DONE
        sys.stdout.flush()  # here, where a full disk can still be told
        sys.exit(code)
    except InputError as error:
        if debug:
            raise
        _end(f"{prog}: {error}", BAD_INPUT)
    except BrokenPipeError:
        if debug:
            raise
        _end("", UNREAD)
    except refusals() as error:
        line = explained(error, config)
        if debug or line is None:
            raise
        _end(f"{prog}: {plain(line)}", BAD_INPUT)
    except KeyboardInterrupt:
        if debug:
            raise
        _end(f"{prog}: interrupted", INTERRUPTED)


def _end(line: str, code: int) -> NoReturn:
    """Leave with a line on standard error, if there is one to say."""
    if line:
        print(" ".join(line.split()), file=sys.stderr)
    give_up_output()
    sys.exit(code)


def give_up_output() -> None:
    """Drop what standard output has not taken, or Python tries again as it leaves and says so in three lines."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
