"""Progress bars: on a terminal, for work longer than two seconds; silent in pipes and logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

DELAY_SECONDS = 2.0


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`; draw a bar on standard error if it is a terminal and the work takes more than two seconds."""
    if not sys.stderr.isatty():
        yield from items
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    start, done = time.monotonic(), 0
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, visible=False)
        for item in items:
            yield item
            done += 1
            progress.update(task, completed=done, visible=time.monotonic() - start > DELAY_SECONDS)
