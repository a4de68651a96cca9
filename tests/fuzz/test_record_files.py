"""Record files that are damaged, or malformed with correct checksums: the images are read, or the error is one line."""

import struct

import google_crc32c
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inventory import LABELS, SUBTYPES, Image
from pneumo_tfds.writing.examples import serialise

SIZE = 16


@pytest.fixture(scope="module")
def split_of():
    from pipeline.data.split import StoredSplit

    return lambda path, count: StoredSplit("train", (str(path),), count, SIZE)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("records") / "pneumo_tfds-train.tfrecord-00000-of-00001"


def record(number):
    pixels = np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 1), dtype=np.uint8)
    label = LABELS[number % 2]
    return serialise(
        Image(f"train/{label}/{number}.jpeg", label, f"person{number}", SUBTYPES[number % 2], "train"), pixels
    )


RECORDS = [record(number) for number in range(3)]


def pixels_of(number):
    return np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 1), dtype=np.uint8).tobytes()


def checksum(data):
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(data, length=None):
    """A record of a file, with right checksums; `length` is what it declares."""
    head = struct.pack("<Q", len(data) if length is None else length)
    return head + checksum(head) + data + checksum(data)


def check(split):
    found = split.examples
    assert found.images.shape == (split.count, SIZE, SIZE, 1)
    assert set(found.labels) <= {0, 1}
    assert {len(getattr(found, name)) for name in ("patients", "subtypes", "filenames")} == {split.count}


def test_the_original_is_valid(path, split_of):
    path.write_bytes(b"".join(map(framed, RECORDS)))
    check(split_of(path, 3))


@pytest.fixture(scope="module")
def read_pixels():
    """Return the fast reader alone: the arrays, or None where it leaves the file to TensorFlow."""
    from pipeline.data import aligned_arrays, tfrecord_pixels
    from pipeline.data.split import FEATURES

    def read(path, count):
        images = aligned_arrays.empty((count, SIZE, SIZE, 1))
        values = tfrecord_pixels.read([str(path)], count, np.arange(count), images, FEATURES)
        return None if values is None else (images, values)

    return read


@given(data=st.data())
def test_bytes(data, path, read_pixels, mutated):
    """What passes the checksums is a picture that was written."""
    path.write_bytes(data.draw(mutated([b"".join(map(framed, RECORDS)), framed(RECORDS[0])])))
    count = data.draw(st.integers(1, 4))
    if found := read_pixels(path, count):
        images, values = found
        assert {image.tobytes() for image in images} <= set(map(pixels_of, range(3)))
        assert set(map(len, values.values())) == {count}


@given(data=st.data())
def test_content_with_right_checksums(data, path, read_pixels, mutated):
    path.write_bytes(framed(data.draw(mutated(RECORDS, most=3))) + framed(RECORDS[1]))
    if found := read_pixels(path, 2):
        assert set(map(len, found[1].values())) == {2}


SOME = max(20, settings.default.max_examples // 20)  # a tf.data pipeline for each case takes 60 ms


@settings(max_examples=SOME)
@given(data=st.data())
def test_the_whole_road(data, path, split_of, mutated, input_error_only):
    """Our reader, then TensorFlow's, with damage of either kind."""
    checked = data.draw(st.booleans())
    changed = data.draw(mutated(RECORDS if checked else [b"".join(map(framed, RECORDS))], most=3))
    path.write_bytes(framed(changed) + framed(RECORDS[1]) if checked else changed)
    with input_error_only():
        check(split_of(path, data.draw(st.integers(1, 4))))


LABEL = serialise(Image("a", "PNEUMONIA", "p", "virus", ""), np.zeros((SIZE, SIZE, 1), np.uint8))


@settings(max_examples=SOME)
@given(
    length=st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([2**64 - 1, 2**63, 2**40, 2**32, len(RECORDS[0]) + 1]))
)
@example(length=2**40)  # os.pread would try to make room for it
@example(length=2**63)
def test_declared_lengths(length, path, split_of, input_error_only):
    path.write_bytes(framed(RECORDS[0]) + framed(RECORDS[1], length))
    with input_error_only():
        check(split_of(path, 2))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x0a",
        b"\x0a" + b"\x80" * 3000,  # a length without end
        RECORDS[0].replace(b"train/", b"\xff\xfeain/"),  # no UTF-8
        LABEL.replace(b"\x1a\x03\x0a\x01\x01", b"\x1a\x03\x0a\x01\x07"),  # a third class
    ],
)
def test_records_that_are_no_images(content, path, split_of):
    path.write_bytes(framed(content))
    with pytest.raises(InputError, match="build it again"):
        check(split_of(path, 1))
