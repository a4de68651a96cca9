"""The images that export compares on."""

from pathlib import Path

import numpy as np
import pytest

from export.parity import parity_sample
from made_examples import examples_of
from pipeline.config import DataConfig
from pipeline.data import group_holdout
from pipeline.data.fold_splits import pooled, splits_of_fold
from pipeline.data.split import Examples, MemorySplit
from pneumo_tfds.program.errors import InputError

ORIGINAL_TAKE = parity_sample.take


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """A folder that reads as a dataset of ten 8 x 8 images in validation."""
    images = np.arange(10, dtype=np.uint8).repeat(64).reshape(10, 8, 8, 1)
    split = MemorySplit("validation", examples_of(images))
    other = MemorySplit("test", split.take(np.array([1, 3, 5])))
    monkeypatch.setattr(parity_sample, "open_splits", lambda folder: {"validation": split, "test": other})
    return tmp_path


def test_a_sample_is_spread_over_the_split_and_repeats_itself(dataset):
    first, second = (ORIGINAL_TAKE(dataset, "validation", 8, 4) for _ in range(2))
    assert first.images[:, 0, 0, 0].tolist() == [0, 3, 6, 9]
    assert first.labels.tolist() == [0, 1, 0, 1]
    assert (first.images == second.images).all()


@pytest.mark.parametrize("limit", [0, 10, 99])
def test_without_a_limit_or_with_a_large_one_every_image_is_taken(dataset, limit):
    assert len(ORIGINAL_TAKE(dataset, "validation", 8, limit).images) == 10


def test_a_missing_split_and_another_size_are_named(dataset):
    with pytest.raises(InputError, match="no images in train, only in validation, test"):
        ORIGINAL_TAKE(dataset, "train", 8, 4)
    with pytest.raises(InputError, match="images of 8 pixels, but the model takes 48"):
        ORIGINAL_TAKE(dataset, "validation", 48, 4)


@pytest.mark.parametrize(("split", "count"), [("all", 13), ("validation", 10), ("test", 3)])
def test_all_takes_every_image_of_every_split(dataset, split, count):
    sample = ORIGINAL_TAKE(dataset, split, 8)
    assert (len(sample.images), len(sample.labels)) == (count, count)
    with pytest.raises(InputError, match="images of 8 pixels, but the model takes 48"):
        ORIGINAL_TAKE(dataset, split, 48)
    with pytest.raises(InputError, match="no images in train"):
        ORIGINAL_TAKE(dataset, "train", 8)


def test_int8s_ranges_come_from_no_image_that_the_run_held_out(monkeypatch):
    names = np.array([f"NORMAL/IM-{n:04d}.png" for n in range(60)] + [f"PNEUMONIA/person{n}.png" for n in range(60)])
    images = np.arange(120, dtype=np.uint8).repeat(64).reshape(120, 8, 8, 1)
    every = Examples(images, np.repeat([0, 1], 60), names, names, names)
    parts = {"train": every.take(np.arange(120) % 2 == 0), "validation": every.take(np.arange(120) % 2 == 1)}
    splits = {name: MemorySplit(name, part) for name, part in parts.items()}
    monkeypatch.setattr(group_holdout, "open_splits", lambda *_: splits)
    data = DataConfig(dataset=Path("d"), folds=3, fold=1)
    held = splits_of_fold(pooled(splits)["train"], data)["held_out"].examples.filenames
    taken = parity_sample.trained_on(data).filenames
    assert not set(taken) & set(held)
    assert set(taken) < set(names)
    assert set(taken) & set(parts["validation"].filenames)
    spread = np.linspace(0, len(taken) - 1, 5).round().astype(int)
    assert parity_sample.trained_on(data, 5).filenames.tolist() == taken[spread].tolist()


def test_dataset_is_the_given_one_or_else_the_one_in_config_json(tmp_path):
    noted, given = tmp_path / "noted", tmp_path / "given"
    noted.mkdir()
    given.mkdir()
    config = {"data": {"dataset": str(noted)}}
    assert parity_sample.dataset_folder(tmp_path, config, None) == noted
    assert parity_sample.dataset_folder(tmp_path, config, given) == given
    with pytest.raises(InputError, match=r"--dataset .* is not a folder"):
        parity_sample.dataset_folder(tmp_path, config, tmp_path / "gone")
    (given / "metadata.json").write_text('{"framing": "crop"}')
    with pytest.raises(InputError, match="made with the framing crop, not squeeze; give another --dataset"):
        parity_sample.dataset_folder(tmp_path, config, given)
    assert parity_sample.dataset_folder(tmp_path, {"data": {"framing": "crop"}}, given) == given
    with pytest.raises(InputError, match=r"config\.json does not name it"):
        parity_sample.dataset_folder(tmp_path, {}, None)
