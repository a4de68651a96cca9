"""The files behind a dataset: their sizes and another decoder's pixels, of files that did not change."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.config import DataConfig
from pipeline.data.split import open_splits
from pipeline.stages.original_files import DECODER, RESIZE, original_files
from pneumo_tfds.prepared import prepare

SIDE = 32
WIDTHS = {"NORMAL": 120, "PNEUMONIA": 180}


def world(place, framing="squeeze", widths=WIDTHS):
    """A built dataset of smooth JPEGs, 100 pixels high and as wide as their class is."""
    generator = np.random.default_rng(0)
    for label, width in widths.items():
        (place / "xrays" / label).mkdir(parents=True)
        for number in range(6):
            coarse = generator.uniform(30, 220, (5, 7)).astype(np.float32)
            picture = cv2.resize(coarse, (width, 100), interpolation=cv2.INTER_CUBIC).clip(1, 255).astype(np.uint8)
            cv2.imwrite(str(place / "xrays" / label / f"{label}{number}.jpeg"), picture)
    dataset = prepare(place / "xrays", SIDE, place / "data", framing=framing, whole=True)
    (split,) = open_splits(dataset).values()
    return DataConfig(source=place / "xrays", dataset=dataset, image_size=SIDE, framing=framing), split.examples


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
