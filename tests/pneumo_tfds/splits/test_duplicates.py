"""Groups that share a member are one, and SciPy agrees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import DisjointSet

from image_files import jpeg, picture
from made_sources import understood
from pneumo_tfds.sources.patients import merge_overlapping
from pneumo_tfds.splits.duplicates import identical_groups

PAGE = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
WITHOUT_PICTURE = {
    "page": PAGE,
    "xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n",
    "flat": jpeg(np.full((72, 96), 128, np.uint8)),
    "cut": jpeg(picture(1))[:400],
}


@pytest.mark.parametrize("data", WITHOUT_PICTURE.values(), ids=WITHOUT_PICTURE)
def test_equal_files_without_a_picture_are_no_copies_of_one_image(tmp_path, data):
    copies = {f"{label}/bad{n}.jpg": data for label in ("NORMAL", "PNEUMONIA") for n in range(2)}
    same = {f"NORMAL/good{n}.jpg": jpeg(picture(2)) for n in range(2)}
    source = understood(tmp_path, {**copies, **same, "PNEUMONIA/other.jpg": None})
    assert [[image.name for image in group] for group in identical_groups(source)] == [sorted(same)]


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
