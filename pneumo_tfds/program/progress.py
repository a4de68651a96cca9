"""Progress of work longer than two seconds, on standard error: bars on a terminal, lines in pipes and logs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import length_hint
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")

DELAY_SECONDS = 2.0
LOG_SECONDS = 30.0
"""Between two lines about the same work where nobody sees a bar."""


class _Display(Progress):
    """A display on standard error that appears after `DELAY_SECONDS`, even if nothing is done by then."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self._appears = time.monotonic() + DELAY_SECONDS
        super().__init__(TextColumn("{task.description}"), *columns, console=Console(stderr=True), transient=True)

    def get_renderables(self) -> Iterator[Any]:
        if time.monotonic() >= self._appears:
            yield from super().get_renderables()


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, and show how many are done once the work takes more than two seconds.

    Args:
        items: their number is shown if they have a length or `total` tells it.
        description: what is done, such as `Training 3/10`. Work that is shown does not print, and tracks no other.
        total: the number of items.

    On a terminal this is a bar. In a pipe or a log it is one line at the end, with the seconds, and one every 30 s.
    """
    total = total or length_hint(items) or None
    if not sys.stderr.isatty():
        yield from _logged(items, description, total)
        return
    with _Display(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as display:
        task = display.add_task(description, total=total)
        for item in items:
            yield item
            display.update(task, advance=1)


@contextmanager
def stage(description: str) -> Iterator[None]:
    """Show what is done in the block, once it takes more than two seconds, like `track`: for work without parts.

    In a pipe or a log it is one line at the end, with the seconds, and one after 30 s if it is not done by then.
    """
    start = time.monotonic()
    if not sys.stderr.isatty():
        said = f"{description}: not done after {LOG_SECONDS:.0f} s"
        reminder = threading.Timer(min(LOG_SECONDS, threading.TIMEOUT_MAX), _say, (said,))
        reminder.daemon = True
        reminder.start()
        try:
            yield
        finally:
            reminder.cancel()
        _say_if_long(description, start)
        return
    with _Display(SpinnerColumn(), TimeElapsedColumn()) as display:
        display.add_task(description, total=None)
        yield


def _logged(items: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    start = said = time.monotonic()
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - said > LOG_SECONDS and done != total:
            said = time.monotonic()
            _say(f"{description}: {done:,}{f' of {total:,}' if total else ''} after {said - start:.0f} s")
    _say_if_long(f"{description}: {done:,} done", start)


def _say_if_long(text: str, start: float) -> None:
    seconds = time.monotonic() - start
    if seconds > DELAY_SECONDS:
        _say(f"{text}, {seconds:.1f} s")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
