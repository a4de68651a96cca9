"""Progress bars: on a terminal, for work longer than two seconds; silent in pipes and logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from operator import length_hint
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
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total or length_hint(items) or None, visible=False)
        for item in items:
            yield item
            progress.update(task, advance=1, visible=time.monotonic() - start > DELAY_SECONDS)
