"""Groups that share a member are one, and SciPy agrees."""

from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import DisjointSet

from pneumo_tfds.splits.duplicates import merge_overlapping


def test_chains_are_merged_and_others_are_not():
    assert merge_overlapping([["a", "b"], ["c", "d"], ["b", "e"], ["f"]]) == [{"a", "b", "e"}, {"c", "d"}, {"f"}]
    assert merge_overlapping([]) == []


@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=4), max_size=12))
def test_same_sets_as_scipy(groups):
    sets = DisjointSet({member for group in groups for member in group})
    for first, *others in groups:
        for other in others:
            sets.merge(first, other)
    assert sorted(map(sorted, merge_overlapping(groups))) == sorted(map(sorted, sets.subsets()))
