"""The files behind a dataset: their sizes and another decoder's pixels, of files that did not change."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.config import DataConfig
from pipeline.data.split import open_splits
from pipeline.stages.original_files import DECODER, RESIZE, original_files
from pneumo_tfds.prepared import prepare
from pneumo_tfds.sources import opening

SIDE = 32
WIDTHS = {"NORMAL": 120, "PNEUMONIA": 180}


def draw(place, widths=WIDTHS):
    """Smooth JPEGs, 100 pixels high and as wide as their class is."""
    generator = np.random.default_rng(0)
    for label, width in widths.items():
        (place / "xrays" / label).mkdir(parents=True)
        for number in range(6):
            coarse = generator.uniform(30, 220, (5, 7)).astype(np.float32)
            picture = cv2.resize(coarse, (width, 100), interpolation=cv2.INTER_CUBIC).clip(1, 255).astype(np.uint8)
            cv2.imwrite(str(place / "xrays" / label / f"{label}{number}.jpeg"), picture)


def built(place, source, framing="squeeze"):
    """The settings of a dataset that is built from a source, and its examples."""
    dataset = prepare(source, SIDE, place / "data", framing=framing, whole=True)
    (split,) = open_splits(dataset).values()
    return DataConfig(source=source, dataset=dataset, image_size=SIDE, framing=framing), split.examples


def world(place, framing="squeeze", widths=WIDTHS):
    draw(place, widths)
    return built(place, place / "xrays", framing)


def as_zip(place):
    return Path(shutil.make_archive(str(place / "xrays"), "zip", place / "xrays"))


def as_table(place, folder="../xrays"):
    """A table in another folder than its images, with their paths relative to it or absolute."""
    (place / "tables").mkdir()
    files = sorted((place / "xrays").rglob("*.jpeg"))
    lines = [f"{folder}/{file.parent.name}/{file.name},{file.parent.name}" for file in files]
    (place / "tables/labels.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return place / "tables/labels.csv"


@pytest.mark.parametrize("framing", ["squeeze", "crop", "pad"])
def test_sizes_and_the_pixels_of_another_decoder_are_those_of_the_files(tmp_path, framing):
    data, examples = world(tmp_path, framing)
    found = original_files(data, examples.filenames.tolist(), SIDE)
    assert found.sizes.tolist() == [[WIDTHS[name.split("/")[0]], 100] for name in examples.filenames]
    assert found.rows.tolist() == list(range(12))
    assert found.note == ""
    for name in (DECODER, RESIZE):
        assert found.views[name].shape == examples.images.shape
        difference = np.abs(found.views[name].astype(int) - examples.images)
        assert np.median(difference) <= 2, name
        assert difference.mean() < 8, name
    assert (found.views[RESIZE] != examples.images).any()


@pytest.mark.parametrize("form", ["folder", "zip", "table", "absolute table"])
def test_the_files_of_every_kind_of_source_are_read_without_understanding_it_again(tmp_path, form, monkeypatch):
    draw(tmp_path)
    made = {
        "folder": lambda: tmp_path / "xrays",
        "zip": lambda: as_zip(tmp_path),
        "table": lambda: as_table(tmp_path),
        "absolute table": lambda: as_table(tmp_path, (tmp_path / "xrays").as_posix()),
    }
    data, examples = built(tmp_path, made[form]())
    monkeypatch.setattr(opening, "_understood", lambda *_: pytest.fail("the whole source was understood again"))
    found = original_files(data, examples.filenames.tolist(), SIDE)
    assert found.sizes.tolist() == [[WIDTHS[name.split("/")[-2]], 100] for name in examples.filenames]
    assert len(found.rows) == 12
    some = original_files(data, ["gone.jpeg", examples.filenames[0]], SIDE)
    assert np.isnan(some.sizes[0]).all()
    assert some.rows.tolist() == [1]


@pytest.mark.parametrize("left", [b"", b"PK\x03\x04 and no more"])
def test_an_archive_that_was_damaged_since_is_said(tmp_path, left):
    draw(tmp_path)
    data, examples = built(tmp_path, archive := as_zip(tmp_path))
    archive.write_bytes(left)
    found = original_files(data, examples.filenames.tolist(), SIDE)
    assert np.isnan(found.sizes).all()
    assert found.note == "not known, as the files were changed or are gone"


def test_a_file_that_changed_since_or_is_gone_does_not_count(tmp_path):
    data, examples = world(tmp_path)
    first, second, *_ = examples.filenames.tolist()
    (tmp_path / "xrays" / first).write_bytes((tmp_path / "xrays" / second).read_bytes())
    (tmp_path / "xrays" / second).unlink()
    found = original_files(data, examples.filenames.tolist(), SIDE)
    assert np.isnan(found.sizes[:2]).all()
    assert found.rows.tolist() == list(range(2, 12))
    assert len(found.views[DECODER]) == 10


def test_a_source_that_is_gone_is_said(tmp_path):
    data, examples = world(tmp_path)
    (tmp_path / "xrays").rename(tmp_path / "moved")
    found = original_files(data, examples.filenames.tolist(), SIDE)
    assert np.isnan(found.sizes).all()
    assert found.views == {}
    assert found.note == "not known, because the files that the dataset was built from are not where they were"


def test_files_of_one_size_tell_nothing_of_the_pictures_before(tmp_path):
    data, examples = world(tmp_path, widths={"NORMAL": 100, "PNEUMONIA": 100})
    found = original_files(data, examples.filenames.tolist(), SIDE)
    assert np.isnan(found.sizes).all()
    assert "100 x 100" in found.note
    assert len(found.views[DECODER]) == 12
