"""TFRecord files of raw pixels, read into one array without `tf.data`, every byte checked by its CRC-32C.

`tf.data` copies a record four times on its way to NumPy: reader, parser, `decode_raw`, `as_numpy`. Here one system call
puts the pixels of a record into their row and the rest of it, some hundred bytes, into a buffer that TensorFlow parses.
This reader gives up at anything unexpected; `tf.data` then reads the files, or reports what is wrong with them.

A TFRecord file is a sequence of frames, all numbers little-endian:

    8 bytes    n, the length of the data
    4 bytes    masked CRC-32C of these 8 bytes
    n bytes    the data
    4 bytes    masked CRC-32C of the data

The data is a `tf.train.Example`: protobuf messages in one another, each with a header of tag and length.

    header                           of the Features, which fill the rest of the data
        header, name, value          of each feature before the image, in the order of their names
        header, "image", headers     of the feature that holds the pixels
            S * S bytes              the pixels
        header, name, value          of each feature after it
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from io import FileIO
from itertools import chain
from struct import Struct
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pneumo_tfds.program import wire
from pneumo_tfds.program.cores_and_memory import available_cores
from pneumo_tfds.program.errors import InputError

FRAME_HEADER, LENGTH, CHECKSUM = Struct("<QI"), Struct("<Q"), Struct("<I")
PEEK = 1024  # bytes at the start of the data, in which the pixels have to begin
CHUNK = 64  # records read by one task of a thread
MOST_LENGTH_BYTES = 5  # of a header; protobuf limits a message to 2 GB


class _UnexpectedError(Exception):
    """Raised when this reader cannot handle a file; the caller falls back to `tf.data`."""


class Record(NamedTuple):
    """Where the data of a record lies: the descriptor of its open file, and position and length in bytes."""

    file: int
    position: int
    length: int


def read(
    files: Sequence[str], count: int, rows: NDArray[np.int64], images: NDArray[np.uint8], features: Mapping[str, Any]
) -> dict[str, NDArray[Any]] | None:
    """Fill `images` with the pixels of some records, and return the other features of these. Others are not read.

    Args:
        files: TFRecord files of `tf.train.Example` whose feature `image` holds the raw pixels.
        count: number of records that the files must hold.
        rows: `[n]`, the numbers of the records to read, from 0, in the order of the files.
        images: uint8 `[n, S, S, 1]`, contiguous; image i is to be that of record `rows[i]`.
        features: as for `tf.io.parse_example`, without `image`.

    Returns:
        An array `[n]` for each feature; or None if anything is unexpected or damaged, and `images` is then half filled.
    """
    # Without a wheel for this machine the checksum takes a hundred times as long, in Python; Windows has no preadv.
    if google_crc32c.implementation != "c" or not hasattr(os, "preadv"):
        return None
    pixels = images.reshape(len(images), math.prod(images.shape[1:]))
    try:
        with ExitStack() as opened, ThreadPoolExecutor(available_cores()) as pool:
            found = [_records(opened.enter_context(open(path, "rb", buffering=0))) for path in files]
            every = [record for of_file in found for record in of_file]
            if len(every) != count:
                return None
            records = [every[row] for row in rows]

            def read_chunk(first: int) -> list[bytes]:
                chunk = slice(first, first + CHUNK)
                return list(map(_read_into, pixels[chunk], records[chunk]))

            rest = pool.map(read_chunk, range(0, len(records), CHUNK))
            parsed = tf.io.parse_example(list(chain.from_iterable(rest)), dict(features))
    except (OSError, _UnexpectedError, ValueError, tf.errors.InvalidArgumentError):
        return None
    return {name: value.numpy() for name, value in parsed.items()}


def check_frames(files: Sequence[str]) -> None:
    """Check record files before TensorFlow reads them, because it allocates whatever length a record declares.

    Raises:
        InputError: the header of a record is damaged, or declares more than its file holds.
    """
    for path in files:
        with suppress(OSError), open(path, "rb", buffering=0) as file:  # TensorFlow alone reads files of other machines
            try:
                _records(file)
            except _UnexpectedError as error:
                reason = "a record is longer than the file, or its length is damaged"
                raise InputError(f"{path} is damaged: {reason}; build it again") from error


def _records(file: FileIO) -> list[Record]:
    """Find all records of a file, reading and checking the header of each frame alone; a cut one fails both checks."""
    records, position, end = [], 0, os.fstat(file.fileno()).st_size
    while position < end:
        file.seek(position)
        header = file.read(FRAME_HEADER.size)
        start = position + len(header)
        length, checksum = FRAME_HEADER.unpack(header.ljust(FRAME_HEADER.size, b"\0"))
        position = start + length + CHECKSUM.size
        if _masked_crc(header[: LENGTH.size]) != checksum or position > end:
            raise _UnexpectedError
        records.append(Record(file.fileno(), start, length))
    return records


def _read_into(pixels: NDArray[np.uint8], record: Record) -> bytes:
    """Read the pixels of one record into a row `[S * S]`, check its data, and return the record without its image."""
    start = os.pread(record.file, min(PEEK, record.length), record.position)
    features, image = _features_header(record.length), _image_header(pixels.size)
    entry = start.find(image, len(features))
    before = start[: entry + len(image)]
    length_after = record.length - len(before) - pixels.size
    if entry < 0 or length_after < 0 or not start.startswith(features):
        raise _UnexpectedError
    rest = bytearray(length_after + CHECKSUM.size)
    buffers: list[Any] = [pixels, rest]
    if os.preadv(record.file, buffers, record.position + len(before)) != pixels.size + len(rest):
        raise _UnexpectedError
    after, checksum = bytes(rest[:length_after]), CHECKSUM.unpack_from(rest, length_after)[0]
    if _masked_crc(before, pixels, after) != checksum:
        raise _UnexpectedError
    return wire.field(1, before[len(features) : entry] + after)


def _masked_crc(*parts: Any) -> int:
    """Return TFRecord's checksum of consecutive parts: their CRC-32C, rotated by 15 bits, plus a constant."""
    crc = functools.reduce(google_crc32c.extend, parts, 0)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.lru_cache
def _features_header(length: int) -> bytes:
    """Return the header with which an Example of `length` bytes begins if its Features fill it."""
    for size in range(2, 2 + MOST_LENGTH_BYTES):
        if size <= length and len(header := wire.header(1, length - size)) == size:
            return header
    raise _UnexpectedError


@functools.lru_cache
def _image_header(pixels: int) -> bytes:
    """Return everything that precedes the pixels in their entry of the Features."""
    values = wire.header(1, pixels)
    feature = wire.header(1, len(values) + pixels) + values
    entry = wire.field(1, b"image") + wire.header(2, len(feature) + pixels) + feature
    return wire.header(1, len(entry) + pixels) + entry
