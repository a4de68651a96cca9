"""Sets that keep the order of what was added, for tf2onnx, so that equal networks become equal files.

tf2onnx rewrites a graph in the order of its sets of names, which differs in every process, because Python salts the
hashes of text. Two files of one network then compute a mean before or after the same reshape, say, with equal results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSet
from contextlib import contextmanager
from typing import Any

import tf2onnx.graph
from tf2onnx.optimizer import back_to_back_optimizer, transpose_optimizer

MODULES: tuple[Any, ...] = (tf2onnx.graph, back_to_back_optimizer, transpose_optimizer)
"""Those that go through a set in its order."""


class OrderedSet(MutableSet[Any]):
    """What tf2onnx uses of `set`."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._items = dict.fromkeys(items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: Any) -> None:
        """Add an item at the end."""
        self._items[value] = None

    def discard(self, value: Any) -> None:
        """Remove an item, if it is there."""
        self._items.pop(value, None)

    def union(self, other: Iterable[Any]) -> OrderedSet:
        """Return a set of the items of both."""
        return OrderedSet((*self, *other))


@contextmanager
def ordered_sets() -> Iterator[None]:
    """Let tf2onnx make ordered sets instead of Python's."""
    for module in MODULES:
        module.set = OrderedSet
    try:
        yield
    finally:
        for module in MODULES:
            del module.set
