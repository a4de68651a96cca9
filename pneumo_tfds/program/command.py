"""What all commands share: the command line made from a dataclass, exit codes, and errors on one line.

A command is a frozen dataclass whose fields are its flags, plus a function that takes it. Parsing imports nothing
heavy, so `--help` answers at once; the function imports TensorFlow when its work starts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, Union

import tyro

from pneumo_tfds.program.errors import InputError, plain, reason_and_remedy
from pneumo_tfds.program.installed import how_to_install
from pneumo_tfds.program.machine_errors import explain_machine_error, machine_error_types
from pneumo_tfds.program.shadowing import shadowing
from pneumo_tfds.program.standard_output import give_up_output

DONE, BAD_INPUT, INTERRUPTED, OUTPUT_CLOSED = 0, 2, 130, 141
"""Exit codes. The last is what a shell reports when the reader of the output ends first, as in `| head`."""

EXTRAS = {
    **dict.fromkeys(
        (
            "google_crc32c", "grpc", "importlib_resources", "jinja2", "keras", "keras_tuner", "matplotlib", "onnx",
            "psutil", "pydantic", "scipy", "sklearn", "tensorflow", "tensorflow_datasets", "tf2onnx", "threadpoolctl",
        ),
        "train",
    ),
    **dict.fromkeys(("fastapi", "prometheus_client", "python_multipart", "uvicorn"), "serve"),
    **dict.fromkeys(("highdicom", "requests"), "dicom-out"),
    "apache_beam": "beam",
}  # fmt: skip
"""Modules that a plain installation lacks, and the extra that brings them."""

OUTPUT_FILES = ("json", "csv", "html", "plot")
OUTPUTS = (*OUTPUT_FILES, "out", "dicom_out")
"""Flags that name a file to write, and those that name a file or folder."""

Config = TypeVar("Config")

called_as = ""
"""How the command `pneumo` calls what runs in this process, such as `pneumo train`; empty under `python -m`."""


def call_of(name: str, module: str) -> str:
    """Return how to call another command: `pneumo NAME` in a process that was called so, else `python -m MODULE`."""
    return f"pneumo {name}" if called_as else f"python -m {module}"


@dataclass(frozen=True, kw_only=True)
class Command:
    """The flags that every command has."""

    debug: bool = False
    """Show the traceback of an error instead of one line."""


def own_flags_first(command: type[Config]) -> type[Config]:
    """List the flags that a command adds before those of its options: for use above `@dataclass`.

    A dataclass lists the fields of its bases first, and `--help` has their order. Those of `Command` stay first.
    """
    bases = [base for base in command.__mro__[1:] if is_dataclass(base)]
    options = {field.name for base in bases for field in fields(base)} - {field.name for field in fields(Command)}
    listed = vars(command)["__dataclass_fields__"]  # which `fields` and tyro read
    for name in [name for name in listed if name in options]:
        listed[name] = listed.pop(name)
    return command


def path_before_parsing(flag: str) -> Path | None:
    """Return the path that `sys.argv` gives for a flag such as `--run-dir`, as `--run-dir PATH` or `--run-dir=PATH`.

    For a file that holds the defaults of all other flags. None if the flag is not given or has no value, which the
    parser of the command reports.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(flag, "--" + flag[2:].replace("-", "_"), dest="path", type=Path)
    try:
        path: Path | None = parser.parse_known_args(sys.argv[1:])[0].path
    except argparse.ArgumentError:
        return None
    return path


def run(
    config_type: Any,
    action: Callable[[Config], int | None],
    *,
    prog: str,
    default: Callable[[], Config | None] = lambda: None,
) -> NoReturn:
    """Parse `sys.argv` into `config_type`, run `action` on it, and exit with the right code.

    Args:
        config_type: a frozen dataclass, or a union of them; its docstring and field docs become `--help`.
        action: the work. Returns an exit code, or None for 0. An `InputError` becomes one line and exit code 2,
            and a `KeyboardInterrupt` one with its message, if it has one, and exit code 130.
        prog: how Python is asked for the command, for usage lines, such as `python -m pneumo_tfds`.
        default: gives an instance whose values are the defaults, for example one read from a file, or None.
    """
    prog = called_as or prog
    debug = "--debug" in sys.argv[1:]
    config = None
    try:
        _check_arguments(sys.argv[1:])
        config = _parse(config_type, prog, default())
        _check_outputs(config)
        code = action(config) or DONE
        sys.stdout.flush()  # here, where a full disk can still be reported
        sys.exit(code)
    except (InputError, KeyboardInterrupt, ModuleNotFoundError, *machine_error_types()) as error:  # type: ignore[misc]
        line, code = _explain(error, config)
        if debug or line is None:
            raise
    if line:
        print(" ".join(f"{prog}: {plain(line)}".split()), file=sys.stderr)
    give_up_output()
    sys.exit(code)


def _explain(error: BaseException, config: Any) -> tuple[str | None, int]:
    """Return the line for an error, None if it needs a traceback, and the exit code."""
    if isinstance(error, BrokenPipeError):
        return "", OUTPUT_CLOSED
    if isinstance(error, KeyboardInterrupt):
        return "; ".join(filter(None, ("interrupted", str(error)))), INTERRUPTED
    if isinstance(error, ModuleNotFoundError):
        extra = EXTRAS.get(str(error.name).partition(".")[0])
        return f"this needs {error.name}; {how_to_install(extra)}" if extra else (shadowing() or None), BAD_INPUT
    return str(error) if isinstance(error, InputError) else explain_machine_error(error, config), BAD_INPUT


def run_one_of(commands: Mapping[str, tuple[type[Any], Callable[[Any], int | None]]], *, prog: str) -> NoReturn:
    """Run a command with subcommands like `run`; `commands` maps a name to its dataclass and action."""
    members = tuple(Annotated[kind, tyro.conf.subcommand(name=name)] for name, (kind, _) in commands.items())
    actions = dict(commands.values())
    run(Union[members], lambda config: actions[type(config)](config), prog=prog)  # noqa: UP007 (built at run time)


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


def _check_arguments(arguments: Sequence[str]) -> None:
    """Raise InputError for an empty argument, or a flag that is given twice, of which the parser takes the last."""
    seen: set[str] = set()
    before = ""
    for argument in arguments:
        flag, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        if not value.strip() and (equals or not flag):
            behind = f" behind {flag or before}" if flag or before else ""
            raise InputError(f"an argument{behind} is empty; give a value, or check the variable that it comes from")
        before = flag or before
        flag = flag.replace("_", "-")
        if flag in seen:
            raise InputError(f"{flag} is given twice; give it once, with all its values behind it if it takes several")
        seen |= {flag} - {""}


def _check_outputs(config: Any) -> None:
    """Raise InputError if what a command is to write may not be created, before its work and not after hours of it."""
    for name in OUTPUTS:
        path = getattr(config, name, None)
        if isinstance(path, Path):
            try:
                if name in OUTPUT_FILES and path.is_dir():
                    raise InputError(f"cannot write {path}: it is a folder; name a file")
                if _gets_standard_output(path):
                    raise InputError(f"cannot write {path}: standard output goes there; name another file")
                real = Path(os.path.realpath(path))  # which is written, if it is a link
                places = real.parents if real.is_file() else (real, *real.parents)
                above = next(place for place in places if place.exists())
                if above.is_dir():
                    tempfile.TemporaryFile(dir=above).close()
            except OSError as error:
                raise InputError(f"cannot write {path}: {reason_and_remedy(error)}") from error


def _gets_standard_output(path: Path) -> bool:
    """Return whether a path, such as `/dev/stdout`, leads to the file that standard output is redirected to."""
    with contextlib.suppress(OSError):
        return path.is_file() and os.path.samestat(path.stat(), os.fstat(1))
    return False


def _one_line(box: str) -> str:
    """Return the text of the box that tyro draws around an error: without its title, its parts joined by semicolons."""
    parts = [" ".join(part.split()) for part in re.split("─{2,}", re.sub("[│╭╮╰╯]", " ", box))]
    own = re.match(r"Error parsing \w+: (.*)", parts[1])  # an InputError of ours, which says all there is to say
    text = own[1] if own else "; ".join(part for part in parts[1:] if part)
    bare = re.search(r": (--\S+) .*; Unrecognized options: ((?:(?!--).)+?); ", text)  # two errors, one mistake
    return f"put {bare[1]} before {bare[2]}" if bare and text.count("(required)") == 1 else text
