from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.data.split import Split, evaluation_batches, open_splits, training_batches
from pneumo_tfds.prepared import VERSION
from pneumo_tfds.program.errors import InputError

SIZE, COUNT = 16, 50


def example(number, size=SIZE):
    """Image `number`: its first pixel is its number, the rest follows from it."""
    pixels = np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8)
    pixels[0, 0] = number
    texts = {
        "image": pixels.tobytes(), "patient": f"person{number // 2}".encode(), "subtype": b"virus",
        "filename": f"train/é{number}.jpeg".encode(), "official_split": b"train",
    }  # fmt: skip
    features = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text])) for name, text in texts.items()}
    features["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number % 2]))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write(folder, count=COUNT, files=3, size=SIZE):
    paths = [str(folder / f"pneumo_tfds-train.tfrecord-{part:05d}-of-{files:05d}") for part in range(files)]
    for part, path in enumerate(paths):
        with tf.io.TFRecordWriter(path) as writer:
            for number in np.array_split(np.arange(count), files)[part]:
                writer.write(example(int(number), size))
    return Split("train", tuple(paths), count, size)


@pytest.fixture
def split(tmp_path):
    return write(tmp_path)


def numbers(batches):
    return [int(image[0, 0, 0]) for images, _ in batches for image in np.asarray(images)]


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


@pytest.mark.parametrize("cache", ["on", "off"])
def test_training_batch_pairs_images_with_their_labels(split, cache):
    for images, labels in training_batches(split, 8, seed=0, epoch=1, cache=cache):
        assert tuple(images.shape) == (8, SIZE, SIZE, 1)
        assert np.array_equal(np.asarray(images)[:, 0, 0, 0] % 2, np.asarray(labels))


@pytest.mark.parametrize("cache", ["on", "off"])
def test_epoch_has_every_image_once_but_the_dropped_remainder(split, cache):
    seen = numbers(training_batches(split, 8, seed=0, epoch=1, cache=cache))
    assert len(seen) == 48
    assert len(set(seen)) == 48


@pytest.mark.parametrize("cache", ["on", "off"])
def test_order_differs_each_epoch_and_repeats_for_a_seed(split, cache):
    first = numbers(training_batches(split, 10, seed=3, epoch=1, cache=cache))
    assert first == numbers(training_batches(split, 10, seed=3, epoch=1, cache=cache))
    assert first != numbers(training_batches(split, 10, seed=3, epoch=2, cache=cache))
    assert first != numbers(training_batches(split, 10, seed=4, epoch=1, cache=cache))
    assert sorted(first) == list(range(COUNT))
    assert first != list(range(COUNT))


@pytest.mark.parametrize("cache", ["on", "off"])
def test_evaluation_keeps_every_example_in_order(split, cache):
    batches = list(evaluation_batches(split, 8, cache=cache))
    assert numbers(batches) == list(range(COUNT))
    assert [len(labels) for _, labels in batches] == [8] * 6 + [2]


def test_streaming_gives_what_memory_gives(split):
    memory, stream = (list(evaluation_batches(split, 16, cache=cache)) for cache in ("on", "off"))
    for (images, labels), (streamed, their_labels) in zip(memory, stream, strict=True):
        assert np.array_equal(images, streamed)
        assert np.array_equal(labels, their_labels)


def test_batch_larger_than_the_split_is_refused(split):
    with pytest.raises(InputError, match="--batch-size is 51"):
        list(training_batches(split, COUNT + 1, seed=0, epoch=1))


def test_cache_is_on_when_asked_and_by_itself_only_if_it_fits(split, monkeypatch):
    assert split.fits("on")
    assert not split.fits("off")
    assert split.fits("auto")
    memory = SimpleNamespace(total=9 * split.bytes, available=0)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    assert split.fits("auto"), "what is free just now does not change the order of a run"
    memory.total = 8 * split.bytes
    assert not split.fits("auto")


def test_truncated_record_file_is_one_clear_error(split):
    with open(split.files[1], "r+b") as file:
        file.truncate(1000)
    with pytest.raises(InputError, match="build"):
        _ = split.examples
    with pytest.raises(InputError, match=r"damaged.*build it again"):
        list(training_batches(split, 8, seed=0, epoch=1, cache="off"))
    with pytest.raises(InputError, match=r"damaged.*build it again"):
        list(evaluation_batches(split, 8, cache="off"))


@pytest.mark.parametrize("cache", ["on", "off"])
def test_workers_rows_make_the_batch(split, cache):
    whole, first, second = (
        [numbers([batch]) for batch in training_batches(split, 8, seed=0, epoch=1, cache=cache, rows=rows)]
        for rows in (slice(None), slice(0, 4), slice(4, 8))
    )
    assert [one + other for one, other in zip(first, second, strict=True)] == whole


def test_split_made_in_memory_needs_no_files(split):
    made = Split.of("held_out", split.examples)
    assert made.fits("off")
    assert len(numbers(training_batches(made, 8, seed=0, epoch=1, cache="off"))) == 48
    with pytest.raises(InputError, match="--data-service"):
        training_batches(made, 8, seed=0, epoch=1, service="localhost:1")


def test_missing_records_are_found(tmp_path):
    fewer = write(tmp_path)
    with pytest.raises(InputError, match=f"{COUNT} of {COUNT + 4}"):
        _ = Split("train", fewer.files, COUNT + 4, SIZE).examples


def test_images_of_another_size_are_found(split):
    with pytest.raises(InputError):
        _ = Split("train", split.files, COUNT, SIZE // 2).examples


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


def test_dataset_of_another_size_than_asked_for_is_refused(tmp_path, monkeypatch):
    (tmp_path / "dataset_info.json").write_text(f'{{"name": "pneumo_tfds", "version": "{VERSION}"}}')
    image = type("Image", (), {"shape": (48, 48, 1)})
    information = type("Information", (), {"features": {"image": image}, "splits": {}})
    monkeypatch.setattr(tfds, "builder_from_directory", lambda path: type("Builder", (), {"info": information}))
    assert open_splits(tmp_path) == open_splits(tmp_path, 48) == {}
    with pytest.raises(InputError, match="images of 48 pixels, not 64; give --image-size 48"):
        open_splits(tmp_path, 64)
