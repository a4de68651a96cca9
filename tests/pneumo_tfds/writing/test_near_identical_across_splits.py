"""A build names near-identical images that lie in different splits, or says that it did not look for them."""

from __future__ import annotations

import cv2
import pytest

from pneumo_tfds import pneumo_tfds_dataset_builder
from pneumo_tfds.phantoms.phantom_source import write_phantoms
from pneumo_tfds.prepared import build
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.writing.build_options import BuildOptions
from pneumo_tfds.writing.build_summary import summary


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """A source of phantoms with a mirrored copy of a training image in its test folder, and the names of both."""
    folder = tmp_path_factory.mktemp("source") / "phantoms"
    write_phantoms(folder, 60)
    original = min(folder.glob("train/NORMAL/*.jpeg"))
    copy = folder / "test/NORMAL/IM-0999-0001.jpeg"
    cv2.imwrite(str(copy), cv2.flip(cv2.imread(str(original), cv2.IMREAD_GRAYSCALE), 1))
    return open_source(folder), [path.relative_to(folder).as_posix() for path in (copy, original)]


def test_a_copy_in_another_split_is_named(phantoms, tmp_path):
    source, names = phantoms
    built = build(source, "gray_96", tmp_path)
    assert built.metadata["near_identical_across_splits"] == [names]
    lines = summary(built)
    assert any(line.startswith("warning: 1 group of near-identical images in different splits") for line in lines)
    assert f"  {', '.join(names)}" in lines


def test_a_summary_says_if_a_build_did_not_look(phantoms, tmp_path, monkeypatch):
    small = build(phantoms[0], "gray_32", tmp_path)
    monkeypatch.setattr(pneumo_tfds_dataset_builder, "MAX_LOOKED_AT", 5)
    many = build(phantoms[0], "gray_96", tmp_path)
    monkeypatch.undo()
    unasked = build(phantoms[0], "gray_97", tmp_path, options=BuildOptions(look_for_near_identical=False))
    for built in (small, many, unasked):
        assert "near_identical_across_splits" not in built.metadata
        assert any("different splits: not looked for" in line for line in summary(built))
