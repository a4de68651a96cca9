from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline import mapped
from pneumo_tfds.errors import InputError

SIZE = 12


def feature(value):
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def record(index, **other):
    pixels = np.full((SIZE, SIZE), index, np.uint8)
    values = {
        "image": pixels.tobytes(), "label": index % 2, "patient": b"p" * (index + 1), "subtype": b"normal",
        "filename": "ü.jpeg".encode(), **other,
    }  # fmt: skip
    features = {name: feature(value) for name, value in values.items() if value is not None}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write(path, records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for data in records:
            writer.write(data)
    return str(path)


def test_reads_what_tensorflow_wrote(tmp_path):
    files = [write(tmp_path / "a", map(record, range(5))), write(tmp_path / "b", map(record, range(5, 9)))]
    found = mapped.read(files, 9, SIZE)
    assert found.images.shape == (9, SIZE, SIZE, 1)
    assert found.images[:, 3, 4, 0].tolist() == list(range(9))
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0]
    assert found.texts["patient"][8] == "p" * 9
    assert found.texts["filename"][0] == "ü.jpeg"


def test_long_values_have_lengths_of_several_bytes(tmp_path):
    file = write(tmp_path / "a", [record(1, patient=b"x" * 40_000, other=b"y" * 300, number=2**40)])
    assert len(mapped.read([file], 1, SIZE).texts["patient"][0]) == 40_000


@pytest.mark.parametrize("kept", [1, 11, 30, 200, 300, 420])
def test_truncated_file_is_named(tmp_path, kept):
    file = Path(write(tmp_path / "a", map(record, range(3))))
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"a: is damaged|of 3 images"):
        mapped.read([str(file)], 3, SIZE)


def test_every_truncation_is_found(tmp_path):
    whole = Path(write(tmp_path / "whole", map(record, range(2)))).read_bytes()
    file = tmp_path / "a"
    for kept in range(1, len(whole), 7):
        file.write_bytes(whole[:kept])
        with pytest.raises(InputError):
            mapped.read([str(file)], 2, SIZE)


def test_overwritten_bytes_never_give_anything_but_an_input_error(tmp_path):
    whole = Path(write(tmp_path / "whole", map(record, range(2)))).read_bytes()
    file, random = tmp_path / "a", np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(whole)
        for place in random.integers(0, len(data), 4):
            data[place] = random.integers(256)
        file.write_bytes(data)
        try:
            mapped.read([str(file)], 2, SIZE)
        except InputError as error:
            assert str(file) in str(error)  # noqa: PT017 (a damaged pixel is no error, so raises() does not fit)


def test_images_of_another_size_say_so(tmp_path):
    file = write(tmp_path / "a", [record(0)])
    with pytest.raises(InputError, match="holds images of 144 pixels, not 24 x 24"):
        mapped.read([file], 1, 24)


@pytest.mark.parametrize("name", ["image", "label", "patient"])
def test_missing_feature_is_an_error(tmp_path, name):
    file = write(tmp_path / "a", [record(0, **{name: None})])
    with pytest.raises(InputError, match="is damaged"):
        mapped.read([file], 1, SIZE)


@pytest.mark.parametrize("count", [1, 3])
def test_count_has_to_fit(tmp_path, count):
    file = write(tmp_path / "a", [record(0), record(1)])
    with pytest.raises(InputError):
        mapped.read([file], count, SIZE)


def test_empty_and_absent_files_are_named(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="empty: is empty"):
        mapped.read([str(tmp_path / "empty")], 1, SIZE)
    with pytest.raises(InputError, match="absent: cannot be read"):
        mapped.read([str(tmp_path / "absent")], 1, SIZE)
