"""Record files of raw pixels into one array, each byte checked by its CRC-32C and each pixel copied once.

`tf.data` copies a record four times on its way to NumPy: reader, parser, `decode_raw`, `as_numpy`. Here one call of the
system reads many records, scattered: the pixels of each straight into their row, and what is left of it, some hundred
bytes, to be parsed by TensorFlow. At whatever is not as expected this gives up: `tf.data` then reads the files, or says
what is wrong with them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import zip_longest
from struct import Struct
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike, NDArray

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.parallel import available_cores

ALIGNMENT = 64  # bytes; TensorFlow's kernels expect the data of a tensor to begin at a multiple
CHUNK = 64  # records to a task of a thread, and to a read: of three parts each, and a system may take 1,024
PEEK = 1024  # bytes; where a record begins. Its pixels have to, too

# A TFRecord: length of the data, checksum of these 8 bytes, the data, its checksum. All little-endian.
HEADER, CHECKSUM = Struct("<QI"), Struct("<I")
LONGEST = 5  # bytes of a length that a record may have: protobuf's limit is 2 GB
TAG = 0x0A  # of a protobuf message's first field, where its length follows: features in an Example


class _UnusualError(Exception):
    """A file that is better read by TensorFlow."""


class _OverlongError(_UnusualError):
    """A record that declares more than its file holds."""


class _Record(NamedTuple):
    """Where a record lies, and how it begins."""

    start: int
    """Position of its data in the file, bytes."""
    length: int
    """Of its data, bytes."""
    head: bytes
    """Its data up to the first pixel."""
    features: int
    """Where in `head` the features begin."""


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
    if not hasattr(os, "preadv"):  # Windows
        return None
    try:
        with ExitStack() as opened:
            rest = _fill([_open(path, opened) for path in files], images.reshape(len(images), -1))
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
                for _ in _walk(_open(path, opened), HEADER.size):
                    pass
            except _OverlongError as error:
                raise InputError(f"{path} is damaged: a record is longer than the file; build it again") from error


def _open(path: str, opened: ExitStack) -> int:
    file = os.open(path, os.O_RDONLY)
    opened.callback(os.close, file)
    return file


def _walk(file: int, peek: int) -> Iterator[tuple[int, int, bytes]]:
    """Give position, length and first bytes of the data of each record, with one read of `peek` bytes for each."""
    position, end = 0, os.fstat(file).st_size
    while position < end:
        begin = os.pread(file, peek, position)
        if len(begin) < HEADER.size:
            raise _UnusualError
        length, checksum = HEADER.unpack_from(begin)
        if _crc(begin[:8]) != checksum:
            raise _UnusualError
        if length > end - position - HEADER.size - CHECKSUM.size:
            raise _OverlongError
        yield position + HEADER.size, length, begin[HEADER.size :]
        position += HEADER.size + length + CHECKSUM.size


def _records(file: int, pixels: int) -> list[_Record]:
    """Find the records of a file, each with so many pixels."""
    entry, records = _before_pixels(pixels), []
    for start, length, begin in _walk(file, PEEK):
        features, place = _features(begin, length), begin.find(entry)
        head = begin[: place + len(entry)]
        if place < features or len(head) + pixels > length:
            raise _UnusualError
        records.append(_Record(start, length, head, features))
    return records


def _fill(files: Sequence[int], rows: NDArray[np.uint8]) -> list[bytes]:
    """Read the pixels of all records, each into its row; give the records without them."""
    chunks, count = [], 0
    for file in files:
        records = _records(file, rows.shape[1])
        for at in range(0, len(records), CHUNK):
            chunk = records[at : at + CHUNK]
            chunks.append((file, chunk, rows[count : count + len(chunk)]))
            count += len(chunk)
    if count != len(rows):
        raise _UnusualError
    with ThreadPoolExecutor(available_cores()) as pool:
        return [record for chunk in pool.map(lambda chunk: _scatter(*chunk), chunks) for record in chunk]


def _scatter(file: int, records: Sequence[_Record], rows: NDArray[np.uint8]) -> list[bytes]:
    """Read records that follow each other in a file by one call, which lets other threads work meanwhile."""
    tails = [bytearray(record.length - len(record.head) - rows.shape[1] + CHECKSUM.size) for record in records]
    heads = [bytearray(HEADER.size + len(record.head)) for record in records[1:]]  # read before, but they lie between
    parts = [part for parts in zip_longest(rows, tails, heads, fillvalue=b"") for part in parts if len(part)]
    if os.preadv(file, parts, records[0].start + len(records[0].head)) != sum(map(len, parts)):
        raise _UnusualError
    rows = rows.view()
    rows.flags.writeable = False  # what is checked must be
    return [_without_pixels(*parts) for parts in zip(records, rows, map(bytes, tails), strict=True)]


def _without_pixels(record: _Record, row: NDArray[np.uint8], tail: bytes) -> bytes:
    """Check a record that was read in parts, and make one of all that is not pixels."""
    tail, (checksum,) = tail[: -CHECKSUM.size], CHECKSUM.unpack(tail[-CHECKSUM.size :])
    if _crc(record.head, row, tail) != checksum:
        raise _UnusualError
    entry = len(_before_pixels(row.size))
    return _example(record.head[record.features : -entry] + tail)


def _crc(*parts: Any) -> int:
    """Compute the checksum of parts in a row as TFRecord has it: CRC-32C, turned by 15 bits, plus a constant."""
    crc = functools.reduce(google_crc32c.extend, parts, 0)
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
