"""Run one stage of a command in a process of its own, with typed arguments.

What the stage took of memory and of libraries' global state ends with its process. Errors for the user come back as if
the stage had run in the caller's process.
"""

from __future__ import annotations

import io
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, ParamSpec, TypeVar

from pneumo_tfds.program import progress
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.machine_errors import explain_machine_error, machine_error_types

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Beside = Callable[[], AbstractContextManager[None]]
"""Returns a context manager that does something beside its block, as `beside` does."""

SECONDS_TO_STOP = 10.0
"""How long a stage may take to save its work after Ctrl-C, or when what goes on beside it fails."""


def run_in_child_process(
    stage: str, function: Callable[Parameters, Result], *args: Parameters.args, **keywords: Parameters.kwargs
) -> Result:
    """Call a module's function in a new process and return what it returns; both ways by pickling.

    `stage` is what the process does, for messages, such as `the search`.

    Raises:
        InputError: raised by the function, or the process was ended by a signal.
        OSError, MemoryError, KeyboardInterrupt: as raised by the function.
        SystemExit: the function failed otherwise; its traceback has been printed.
    """
    return _finish(stage, *_start(stage, function, args, keywords))  # type: ignore[no-any-return]


@contextmanager
def beside(
    stage: str, function: Callable[Parameters, Any], *args: Parameters.args, **keywords: Parameters.kwargs
) -> Iterator[None]:
    """Call a module's function in a new process while the block does something else, and wait for it at the end.

    What the function prints is shown after the block, so that the two do not mix. If the block fails, the process has
    `SECONDS_TO_STOP` to come to its end. Raises as `run_in_child_process` does.
    """
    process, receiver = _start(stage, _noted, (function, args, keywords), {})
    try:
        yield
        with progress.stage(f"Waiting for {stage}"):
            errors, output = _finish(stage, process, receiver)
    except BaseException:
        process.join(SECONDS_TO_STOP)
        process.terminate()
        process.join()
        raise
    sys.stderr.write(errors)
    sys.stdout.write(output)
    sys.stdout.flush()


def _noted(function: Callable[..., Any], args: Any, keywords: Any) -> tuple[str, str]:
    """Call the function; return what it wrote to standard error and output, or write it there if it fails."""
    errors, output = io.StringIO(), io.StringIO()
    try:
        with redirect_stderr(errors), redirect_stdout(output):
            function(*args, **keywords)
    except BaseException:
        sys.stderr.write(errors.getvalue())
        sys.stdout.write(output.getvalue())
        raise
    return errors.getvalue(), output.getvalue()


def _start(stage: str, function: Callable[..., Any], args: Any, keywords: Any) -> tuple[SpawnProcess, Connection]:
    """Start a process that calls the function; return it, and the end of the pipe where its result comes out."""
    sys.stdout.flush()
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(sender, function, args, keywords), name=stage)
    process.start()
    sender.close()  # so that the end of the process is the end of the pipe
    return process, receiver


def _finish(stage: str, process: SpawnProcess, receiver: Connection) -> Any:
    """Wait for the process; return its result, or raise its error."""
    try:
        error, result = receiver.recv()
        process.join()
    except EOFError:
        process.join()
        code = process.exitcode or 1
        if code > 0:
            raise SystemExit(code) from None
        raise InputError(
            f"{stage} was ended by signal {-code} (9 may be the system, out of memory: then lower --batch-size); "
            "continue with --resume"
        ) from None
    except KeyboardInterrupt:
        process.join(SECONDS_TO_STOP)
        process.terminate()
        raise
    if error is not None:
        raise error
    return result


def _call(sender: Connection, function: Callable[..., Any], args: Any, keywords: Any) -> None:
    """Call the function and send (error, result); errors that are not for the user end the process with a traceback."""
    error: BaseException | None = None
    result = None
    try:
        result = function(*args, **keywords)
    except (InputError, KeyboardInterrupt) as raised:
        error = raised
    except machine_error_types() as raised:
        if not isinstance(raised, BrokenPipeError) and explain_machine_error(raised, None) is None:
            raise
        error = raised if isinstance(raised, OSError | MemoryError) else MemoryError(str(raised))
    if error is not None:
        where = "".join(traceback.format_exception(error))
        error.add_note(f"Raised in a process of its own:\n{where}")  # what --debug shows
    sender.send((error, result))
