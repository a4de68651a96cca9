"""Pixels read without tf.data: the same arrays, and no damage passes unnoticed."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data import aligned_arrays, tfrecord_pixels
from pipeline.data.split import FEATURES, StoredSplit
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.writing.examples import serialise

SIZE, COUNT = 24, 30


def picture(number):
    return np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 1), dtype=np.uint8)


def record(number):
    """Return a record as a build writes it."""
    label = "PNEUMONIA" if number % 2 else "NORMAL"
    return serialise(Image(f"train/é{number}.jpeg", label, f"person{number}", "virus", "train"), picture(number))


@pytest.fixture
def split(tmp_path):
    return written(tmp_path, [record(number) for number in range(COUNT)])


def written(folder, records, files=2):
    paths = [str(folder / f"pneumo_tfds-train.tfrecord-{part:05d}-of-{files:05d}") for part in range(files)]
    for path, part in zip(paths, np.array_split(np.arange(len(records)), files), strict=True):
        with tf.io.TFRecordWriter(path) as writer:
            for number in part:
                writer.write(records[number])
    return StoredSplit("train", tuple(paths), len(records), SIZE)


def empty(split):
    return aligned_arrays.empty((split.count, SIZE, SIZE, 1))


def read_all(files, images):
    return tfrecord_pixels.read(files, len(images), np.arange(len(images)), images, FEATURES)


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_what_a_build_writes_is_read_without_tf_data(split, chunk, monkeypatch):
    monkeypatch.setattr(tfrecord_pixels, "CHUNK", chunk)
    images = empty(split)
    values = read_all(split.files, images)
    assert np.array_equal(images, np.stack([picture(number) for number in range(COUNT)]))
    assert values["label"].tolist() == [number % 2 for number in range(COUNT)]
    assert values["filename"][7].decode() == "train/é7.jpeg"


def test_some_records_are_read_in_any_order_and_the_others_not_at_all(split):
    with open(split.files[0], "r+b") as file:  # a pixel of record 0
        file.seek(SIZE * SIZE)
        file.write(bytes(8))
    rows = np.array([20, 3, 3])
    images = aligned_arrays.empty((len(rows), SIZE, SIZE, 1))
    values = tfrecord_pixels.read(split.files, COUNT, rows, images, FEATURES)
    assert np.array_equal(images, np.stack([picture(number) for number in rows]))
    assert values["patient"].tolist() == [f"person{number}".encode() for number in rows]
    assert read_all(split.files, empty(split)) is None


def test_tf_data_reads_the_same(split, monkeypatch):
    direct = split.examples
    monkeypatch.setattr(tfrecord_pixels, "read", lambda *_: None)
    slow = StoredSplit(split.name, split.files, split.count, split.image_size).examples
    for name in ("images", "labels", "patients", "subtypes", "filenames"):
        assert np.array_equal(getattr(direct, name), getattr(slow, name))


@pytest.mark.parametrize("seed", range(40))
def test_any_changed_byte_is_an_error(split, seed):
    rng = np.random.default_rng(seed)
    with open(split.files[seed % 2], "r+b") as file:
        end = file.seek(0, 2)
        # Every other time in the first 100 bytes, where lengths, checksums and names lie.
        place = int(rng.integers(0, 100 if seed % 4 < 2 else end))
        file.seek(place)
        changed = bytes([file.read(1)[0] ^ int(rng.integers(1, 256))])
        file.seek(place)
        file.write(changed)
    assert read_all(split.files, empty(split)) is None
    with pytest.raises(InputError, match=r"damaged.*build it again"):
        _ = split.examples


@pytest.mark.parametrize("length", [0.0, 0.4, 0.5, 0.999])
def test_any_missing_end_is_an_error(split, length):
    with open(split.files[1], "r+b") as file:
        file.truncate(int(file.seek(0, 2) * length))
    assert read_all(split.files, empty(split)) is None
    with pytest.raises(InputError, match="build it again"):
        _ = split.examples


def test_missing_file_is_an_error(split):
    gone = StoredSplit("train", (*split.files, split.files[0] + ".gone"), COUNT, SIZE)
    with pytest.raises(InputError, match="build it again"):
        _ = gone.examples


def test_images_of_another_size_are_left_to_tf_data(split):
    other = StoredSplit("train", split.files, COUNT, SIZE // 2)
    assert read_all(split.files, aligned_arrays.empty((COUNT, SIZE // 2, SIZE // 2, 1))) is None
    with pytest.raises(InputError, match=f"not of {SIZE // 2} pixels"):
        _ = other.examples


def test_more_or_fewer_records_are_left_to_tf_data(split):
    for count in (COUNT - 1, COUNT + 1):
        assert read_all(split.files, aligned_arrays.empty((count, SIZE, SIZE, 1))) is None


def test_record_that_lacks_a_feature_is_left_to_tf_data(tmp_path):
    example = tf.train.Example.FromString(record(0))
    del example.features.feature["patient"]
    split = written(tmp_path, [example.SerializeToString()], files=1)
    assert read_all(split.files, empty(split)) is None
    with pytest.raises(InputError):
        _ = split.examples


def test_record_whose_features_do_not_fill_it_is_left_to_tf_data(tmp_path):
    split = written(tmp_path, [record(0) + tf.train.Example().SerializeToString() + b"\x12\x00"], files=1)
    assert read_all(split.files, empty(split)) is None


def test_a_system_that_cannot_scatter_leaves_it_to_tf_data(split, monkeypatch):
    monkeypatch.delattr("os.preadv")
    assert read_all(split.files, empty(split)) is None


def test_pixels_that_begin_late_are_left_to_tf_data(tmp_path):
    late = serialise(Image("é" * tfrecord_pixels.PEEK, "NORMAL", "p", "", "train"), picture(0))
    split = written(tmp_path, [record(1), late], files=1)
    assert read_all(split.files, empty(split)) is None
    assert np.array_equal(split.examples.images[1], picture(0))


def test_without_a_compiled_checksum_tf_data_reads(split, monkeypatch):
    monkeypatch.setattr(tfrecord_pixels.google_crc32c, "implementation", "python")
    assert read_all(split.files, empty(split)) is None
    assert len(split.examples) == COUNT


def test_tensor_shares_the_memory_of_an_aligned_array_and_outlives_it():
    images = aligned_arrays.empty((3, SIZE, SIZE, 1))
    images[:] = 5
    tensor = aligned_arrays.as_tensor(images)
    images[1] = 9
    del images
    assert tf.gather(tensor, [2, 1])[:, 0, 0, 0].numpy().tolist() == [5, 9]


def test_array_that_tensorflow_cannot_share_is_copied():
    images = aligned_arrays.empty((3, SIZE, SIZE, 1))[:, :, ::2]
    images[:] = 5
    assert np.array_equal(aligned_arrays.as_tensor(images), images)
    shifted = aligned_arrays.empty((SIZE * SIZE + 1,))[1:].reshape(1, SIZE, SIZE, 1)
    shifted[:] = 7
    assert np.array_equal(tf.gather(aligned_arrays.as_tensor(shifted), [0]), shifted)
