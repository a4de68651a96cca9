"""Standard output whose reader may end before the work does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def give_up_output() -> None:
    """Discard output that cannot be written, or Python tries again as it exits and prints three lines about it."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class StandardOutput:
    """Standard output as a stream, whose reader may end before the work does, as in `| head`.

    Args:
        is_all: nothing else is written, so that the work ends with its reader: `BrokenPipeError` is raised. Otherwise
            what it would have got is dropped.
    """

    def __init__(self, *, is_all: bool) -> None:
        self._is_all = is_all
        self.is_closed = False
        """Whether the reader has ended."""

    def write(self, text: str) -> None:
        """Write a text, unless the reader has ended."""
        self._try(lambda: sys.stdout.write(text))

    def flush(self) -> None:
        """Give the reader what was written, here, where a full disk can still be reported."""
        self._try(sys.stdout.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if self.is_closed:
            return
        try:
            action()
        except BrokenPipeError:
            if self._is_all:
                raise
            self.is_closed = True
            give_up_output()
