"""Catch what a native library prints on standard error, for libraries that report damage in no other way."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_lock = threading.Lock()


@contextmanager
def caught_lines(ours: tuple[str, ...]) -> Iterator[list[str]]:
    """Catch the lines written to file descriptor 2; they are in the list when the block ends.

    Lines that do not start with one of `ours` come from elsewhere and are written after the block. One block runs at
    a time. The block should be one call that holds Python's lock, so that no other thread of Python writes meanwhile.
    """
    lines: list[str] = []
    with _lock:
        try:
            before = os.dup(_STDERR)
        except OSError:  # a program without standard error
            yield lines
            return
        with tempfile.TemporaryFile() as file:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(file.fileno(), _STDERR)
            try:
                yield lines
            finally:
                os.dup2(before, _STDERR)
                os.close(before)
                file.seek(0)
                for line in file:
                    if line.startswith(tuple(text.encode() for text in ours)):
                        lines.append(line.decode(errors="replace").strip())
                    else:
                        os.write(_STDERR, line)
