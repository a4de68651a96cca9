"""Merge groups that share a member."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

Member = TypeVar("Member", bound=Hashable)


def merge_overlapping(groups: Iterable[Iterable[Member]]) -> list[set[Member]]:
    """Return the groups as disjoint sets: groups that share a member, directly or through others, become one.

    SciPy's `DisjointSet` does the same, but importing it takes 0.5 s, and an audit works without the `train` extra.
    """
    group_of: dict[Member, set[Member]] = {}
    for group in groups:
        merged = set(group)
        for other in {id(found): found for member in merged if (found := group_of.get(member))}.values():
            merged |= other
        group_of.update(dict.fromkeys(merged, merged))
    return list({id(group): group for group in group_of.values()}.values())
