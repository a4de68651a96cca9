"""Run one stage of a command in a process of its own, with typed arguments.

What the stage took of memory and of libraries' global state ends with its process. Errors for the user come back as if
the stage had run in the caller's process.
"""

from __future__ import annotations

import multiprocessing
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.machine_errors import explain_machine_error, machine_error_types

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

SECONDS_TO_STOP = 10.0
"""How long a stage may take to save its work after Ctrl-C."""


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
    sys.stdout.flush()
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(sender, function, args, keywords), name=stage)
    process.start()
    sender.close()  # so that the end of the process is the end of the pipe
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
    return result  # type: ignore[no-any-return]


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
