"""Record files of raw pixels into one array, each byte checked by its CRC-32C and each pixel copied once.

`tf.data` copies a record four times on its way to NumPy: reader, parser, `decode_raw`, `as_numpy`. Here the pixels are
cut out of the record, and only what is left of it, some hundred bytes, is parsed, by TensorFlow. At whatever is not as
expected this gives up: `tf.data` then reads the files, or says what is wrong with them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from struct import Struct
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike, NDArray

from pneumo_tfds.errors import InputError
from pneumo_tfds.parallel import available_cores

ALIGNMENT = 64  # bytes; TensorFlow's kernels expect the data of a tensor to begin at a multiple
CHUNK = 64  # records to a task of a thread

# A TFRecord: length of the data, checksum of these 8 bytes, the data, its checksum. All little-endian.
HEADER, CHECKSUM = Struct("<QI"), Struct("<I")
LONGEST = 5  # bytes of a length that a record may have: protobuf's limit is 2 GB
TAG = 0x0A  # of a protobuf message's first field, where its length follows: features in an Example


class _UnusualError(Exception):
    """A file that is better read by TensorFlow."""


class _OverlongError(_UnusualError):
    """A record that declares more than its file holds."""


class _Span(NamedTuple):
    """Where the data of a record lies."""

    file: int
    """Descriptor of the open file."""
    start: int
    length: int


def aligned(shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """Make an array for pixels, not filled, that `as_tensor` can share."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + size].view(dtype).reshape(shape)


def gathered(images: NDArray[Any], rows: NDArray[np.int64]) -> tf.Tensor:
    """Copy rows of `[n, ...]` into a tensor in the machine's memory. NumPy is twice as fast at it as `tf.gather`."""
    batch = aligned((len(rows), *images.shape[1:]), images.dtype)
    np.take(images, rows, axis=0, out=batch, mode="clip")  # rows are in range, and "raise" would copy once more
    return as_tensor(batch)


def as_tensor(images: NDArray[Any]) -> tf.Tensor:
    """Put images on the training device: on a CPU the same memory if it is aligned, else a copy."""
    if tf.config.list_logical_devices("GPU") or images.ctypes.data % ALIGNMENT or not images.flags.c_contiguous:
        return tf.constant(images)
    return tf.experimental.dlpack.from_dlpack(images.__dlpack__())


def read(
    files: Sequence[str], images: NDArray[np.uint8], features: Mapping[str, Any]
) -> dict[str, NDArray[Any]] | None:
    """Fill `images` with the pixels of all records, in their order, and give what else the records hold.

    Args:
        files: TFRecord files of `tf.train.Example`, one of whose features, `image`, has the pixels as they are.
        images: uint8 `[n, S, S, 1]`, contiguous; n is how many records there have to be.
        features: of `tf.io.parse_example`, without `image`.

    Returns:
        An array `[n]` for each feature; or None if anything is unusual or damaged, and `images` is then half filled.
    """
    if google_crc32c.implementation != "c":  # no wheel for this machine; in Python it takes a hundred times as long
        return None
    try:
        with ExitStack() as opened:
            spans = [span for path in files for span in _spans(_open(path, opened))]
            if len(spans) != len(images):
                return None
            rest = _cut(spans, images.reshape(len(images), -1))
        parsed = tf.io.parse_example(rest, dict(features))
    except (OSError, _UnusualError, IndexError, UnicodeDecodeError, tf.errors.InvalidArgumentError):
        return None
    return {name: value.numpy() for name, value in parsed.items()}


def check_lengths(files: Sequence[str]) -> None:
    """Look over record files before TensorFlow reads them, which makes room for whatever length a record declares.

    Raises:
        InputError: a record is longer than its file. (Its header's checksum is right, so it was made that way; where
            that is wrong, TensorFlow says so. Files that are not on this machine are left to it too.)
    """
    for path in files:
        with suppress(_UnusualError, OSError), ExitStack() as opened:
            try:
                _spans(_open(path, opened))
            except _OverlongError as error:
                raise InputError(f"{path} is damaged: a record is longer than the file; build it again") from error


def _open(path: str, opened: ExitStack) -> int:
    file = os.open(path, os.O_RDONLY)
    opened.callback(os.close, file)
    return file


def _spans(file: int) -> list[_Span]:
    """Find the records of a file by their headers."""
    spans, position, end = [], 0, os.fstat(file).st_size
    while position < end:
        header = os.pread(file, HEADER.size, position)
        if len(header) < HEADER.size:
            raise _UnusualError
        length, checksum = HEADER.unpack(header)
        if _crc(header[:8]) != checksum:
            raise _UnusualError
        if length > end - position - HEADER.size - CHECKSUM.size:
            raise _OverlongError
        spans.append(_Span(file, position + HEADER.size, length))
        position += HEADER.size + length + CHECKSUM.size
    return spans


def _cut(spans: Sequence[_Span], rows: NDArray[np.uint8]) -> list[bytes]:
    """Copy the pixels of each record into its row; give the records without them."""
    entry = _before_pixels(rows.shape[1])

    def cut(span: _Span, row: NDArray[np.uint8]) -> bytes:
        data = os.pread(span.file, span.length + CHECKSUM.size, span.start)
        if len(data) < span.length + CHECKSUM.size:
            raise _UnusualError
        if _crc(np.frombuffer(data, np.uint8, span.length)) != CHECKSUM.unpack_from(data, span.length)[0]:
            raise _UnusualError
        begin, place = _features(data, span.length), data.find(entry)
        first, last = place + len(entry), place + len(entry) + row.size
        if place < begin or last > span.length:
            raise _UnusualError
        row[:] = np.frombuffer(data, np.uint8, row.size, first)
        return _example(data[begin:place] + data[last : span.length])

    def cut_chunk(start: int) -> list[bytes]:
        chunk = slice(start, start + CHUNK)
        return list(map(cut, spans[chunk], rows[chunk]))

    with ThreadPoolExecutor(available_cores()) as pool:
        return [record for chunk in pool.map(cut_chunk, range(0, len(spans), CHUNK)) for record in chunk]


def _crc(data: Any) -> int:
    """Compute a checksum as TFRecord has it: CRC-32C, turned by 15 bits, plus a constant."""
    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _features(data: bytes, length: int) -> int:
    """Say where the features of an Example begin, which must fill the rest of it."""
    position, size, shift = 1, 0, 0
    while data[position] & 0x80:
        if position == LONGEST:
            raise _UnusualError
        size, shift, position = size | (data[position] & 0x7F) << shift, shift + 7, position + 1
    size |= data[position] << shift
    if data[0] != TAG or position + 1 + size != length:
        raise _UnusualError
    return position + 1


@functools.cache
def _before_pixels(pixels: int) -> bytes:
    """Give what protobuf puts between two features and the pixels: tags and lengths, one message in the other."""
    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes(pixels)]))
    data = tf.train.Example(features=tf.train.Features(feature={"image": image})).SerializeToString()
    return bytes(data[_features(data, len(data)) : -pixels])


def _example(features: bytes) -> bytes:
    """Make an Example of serialised features."""
    head, length = bytearray((TAG,)), len(features)
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + features
