"""Splits: what is in the record files, what is kept in memory, and what is wrong with a dataset."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipeline.data import tfrecord_pixels
from pipeline.data.batches import evaluation_batches, training_batches
from pipeline.data.split import MemorySplit, StoredSplit, open_splits
from pneumo_tfds.prepared import VERSION
from pneumo_tfds.program.errors import InputError
from record_files import COUNT, SIZE, numbers, write


@pytest.fixture
def split(tmp_path):
    return write(tmp_path)


def test_examples_are_what_was_written(split):
    examples = split.examples
    assert [int(image[0, 0, 0]) for image in examples.images] == list(range(COUNT))
    expected = np.random.default_rng(7).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    assert np.array_equal(examples.images[7, 1:, :, 0], expected[1:])
    assert examples.labels.tolist() == [number % 2 for number in range(COUNT)]
    assert examples.patients[9] == "person4"
    assert examples.filenames[9] == "train/é9.jpeg"
    assert set(examples.subtypes) == {"virus"}
    assert (examples.images.dtype, examples.labels.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize("by_tf_data", [False, True])
def test_some_examples_are_taken_without_keeping_the_others(split, by_tf_data, monkeypatch):
    rows = np.array([31, 4, 4, 17])
    if by_tf_data:
        monkeypatch.setattr(tfrecord_pixels, "read", lambda *_: None)
    taken = split.take(rows)
    assert taken.images.shape == (4, SIZE, SIZE, 1)
    assert len(split.take(np.arange(0))) == 0
    assert split.labels.tolist() == [number % 2 for number in range(COUNT)]
    assert split.subtypes.tolist() == ["virus"] * COUNT
    assert [column[9] for column in split.names_and_patients] == ["train/é9.jpeg", "person4"]
    assert "examples" not in vars(split)
    for whole in (split.examples, split, MemorySplit("made", split.examples)):
        for name in ("images", "labels", "patients", "subtypes", "filenames"):
            again = whole.take(rows)
            assert np.array_equal(getattr(again, name), getattr(taken, name)), name


def test_cache_is_on_when_asked_and_by_itself_only_if_it_fits(split, monkeypatch):
    assert split.in_memory("on")
    assert not split.in_memory("off")
    assert split.in_memory("auto")
    memory = SimpleNamespace(total=9 * COUNT * SIZE**2, available=0)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    assert split.in_memory("auto"), "what is free just now does not change the order of a run"
    memory.total = 8 * COUNT * SIZE**2
    assert not split.in_memory("auto")


def test_truncated_record_file_is_one_clear_error(split):
    with open(split.files[1], "r+b") as file:
        file.truncate(1000)
    with pytest.raises(InputError, match="build"):
        _ = split.examples
    with pytest.raises(InputError, match=r"damaged.*build it again"):
        list(training_batches(split, 8, seed=0, epoch=1, cache="off"))
    with pytest.raises(InputError, match=r"damaged.*build it again"):
        list(evaluation_batches(split, 8, cache="off"))


def test_split_made_in_memory_needs_no_files(split):
    made = MemorySplit("held_out", split.examples)
    assert made.in_memory("off")
    assert len(numbers(training_batches(made, 8, seed=0, epoch=1, cache="off"))) == 48
    with pytest.raises(InputError, match="--data-service"):
        training_batches(made, 8, seed=0, epoch=1, service="localhost:1")


def test_missing_records_are_found(tmp_path):
    fewer = write(tmp_path)
    with pytest.raises(InputError, match=f"{COUNT} of {COUNT + 4}"):
        _ = StoredSplit("train", fewer.files, COUNT + 4, SIZE).examples


def test_images_of_another_size_are_found(split):
    with pytest.raises(InputError):
        _ = StoredSplit("train", split.files, COUNT, SIZE // 2).examples


def test_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no built dataset"):
        open_splits(tmp_path)


def test_dataset_of_another_name_is_refused(tmp_path):
    (tmp_path / "dataset_info.json").write_text('{"name": "mnist"}')
    with pytest.raises(InputError, match="mnist"):
        open_splits(tmp_path)


def test_dataset_of_another_version_is_refused(tmp_path):
    (tmp_path / "dataset_info.json").write_text('{"name": "pneumo_tfds", "version": "0.9.0"}')
    with pytest.raises(InputError, match=r"version 0\.9\.0.*build it again"):
        open_splits(tmp_path)


def test_dataset_of_another_framing_than_asked_for_is_refused(tmp_path, monkeypatch):
    (tmp_path / "dataset_info.json").write_text(f'{{"name": "pneumo_tfds", "version": "{VERSION}"}}')
    image = type("Image", (), {"shape": (48, 48, 1)})
    information = type("Information", (), {"features": {"image": image}, "splits": {}})
    monkeypatch.setattr(tfds, "builder_from_directory", lambda path: type("Builder", (), {"info": information}))
    assert open_splits(tmp_path, 48, "squeeze") == {}, "datasets that name no framing are squeezed"
    (tmp_path / "metadata.json").write_text('{"framing": "pad"}')
    assert open_splits(tmp_path, 48, "pad") == open_splits(tmp_path) == {}
    with pytest.raises(InputError, match="made with the framing pad, not squeeze; give --framing pad"):
        open_splits(tmp_path, 48, "squeeze")


def test_dataset_of_another_size_than_asked_for_is_refused(tmp_path, monkeypatch):
    (tmp_path / "dataset_info.json").write_text(f'{{"name": "pneumo_tfds", "version": "{VERSION}"}}')
    image = type("Image", (), {"shape": (48, 48, 1)})
    information = type("Information", (), {"features": {"image": image}, "splits": {}})
    monkeypatch.setattr(tfds, "builder_from_directory", lambda path: type("Builder", (), {"info": information}))
    assert open_splits(tmp_path) == open_splits(tmp_path, 48) == {}
    with pytest.raises(InputError, match="images of 48 pixels, not 64; give --image-size 48"):
        open_splits(tmp_path, 64)
