"""Record files read through memory maps: where each image's pixels lie, and all of them copied once into an array.

`tf.data` copies a record four times between the file and NumPy (reader, parser, `decode_raw`, `as_numpy`); raw pixels
need one. This reads the two formats involved directly: TFRecord (length uint64, its checksum uint32, data, checksum
uint32) and `tf.train.Example` in protobuf's wire format. Lengths and structure are checked, so a truncated or foreign
file is found; the CRC-32C of the data is not, as nothing in Python computes it at the speed of memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumo_tfds.errors import InputError

HEADER, FOOTER = 12, 4  # bytes of a TFRecord before and after its data
IMAGE, LABEL = b"image", b"label"
TEXTS = (b"patient", b"subtype", b"filename")

_BYTES_LIST, _INT64_LIST = 0x0A, 0x1A  # field 1 and field 3 of tf.train.Feature, length-delimited
_VARINT = 0x08  # field 1 of Int64List where it is not packed


@dataclass(frozen=True)
class Contents:
    """What `read` finds in the files of one split, in their order."""

    images: NDArray[np.uint8]
    """`[n, S, S, 1]`"""
    labels: NDArray[np.int64]
    """`[n]`"""
    texts: dict[str, NDArray[np.str_]]
    """`patient`, `subtype` and `filename`, each `[n]`."""


def read(files: Sequence[str], count: int, image_size: int) -> Contents:
    """Read every record of `files`.

    Args:
        files: uncompressed TFRecord files of `tf.train.Example` with raw uint8 pixels.
        count: how many records there have to be.
        image_size: side S of the images, pixels.

    Raises:
        InputError: a file is missing or truncated, a record is not of this kind or holds an image of another size, or
            there are more or fewer records.
    """
    images = np.empty((count, image_size * image_size), np.uint8)
    labels = np.empty(count, np.int64)
    texts: dict[bytes, list[str]] = {name: [] for name in TEXTS}
    position = 0
    for file in files:
        with _mapped(file) as data:
            pixels = np.frombuffer(data, np.uint8)
            try:
                for start, end in _records(data):
                    found = dict(_features(data, start, end))
                    first, last = found[IMAGE]
                    if last - first != images.shape[1]:
                        raise InputError(
                            f"{file}: holds images of {last - first} pixels, not {image_size} x {image_size}; "
                            "use the same --image-size as when it was built"
                        )
                    images[position] = pixels[first:last]
                    labels[position] = _varint(data, found[LABEL][0])[0]
                    for name in TEXTS:
                        begin, stop = found[name]
                        texts[name].append(data[begin:stop].decode())
                    position += 1
            except (IndexError, KeyError, UnicodeDecodeError) as error:
                broken = position  # in words below; the loop variable is gone
                raise InputError(
                    f"{file}: is damaged near image {broken} of its split; build the dataset again"
                ) from error
            finally:
                del pixels  # a map with a view on it cannot be closed
    if position != count:
        raise InputError(f"{files[0]}: the split holds {position} of {count} images; build the dataset again")
    named = {name.decode(): np.array(values, np.str_) for name, values in texts.items()}
    return Contents(images.reshape(count, image_size, image_size, 1), labels, named)


def _mapped(file: str) -> mmap.mmap:
    try:
        with Path(file).open("rb") as opened:
            return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); build the dataset again") from error
    except ValueError as error:  # an empty file cannot be mapped
        raise InputError(f"{file}: is empty; build the dataset again") from error


def _records(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Where the data of each record begins and ends; IndexError if the file ends in the middle of one."""
    position, size = 0, len(data)
    while position < size:
        start = position + HEADER
        end = start + int.from_bytes(data[position : position + 8], "little")
        if end + FOOTER > size:
            raise IndexError(position)
        yield start, end
        position = end + FOOTER


def _features(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Name of each feature of an Example, and where its one value begins and ends."""
    _, position = _varint(data, start + 1)  # Example.features
    while position < end:
        length, entry = _varint(data, position + 1)  # one entry of Features.feature
        position = entry + length
        if position > end:
            raise IndexError(position)
        length, key = _varint(data, entry + 1)
        name, value = data[key : key + length], key + length
        _, feature = _varint(data, value + 1)
        _, listed = _varint(data, feature + 1)
        if data[feature] == _BYTES_LIST:
            length, first = _varint(data, listed + 1)
            if first + length > position:
                raise IndexError(first)
            yield name, (first, first + length)
        elif data[feature] == _INT64_LIST:
            first = listed + 1 if data[listed] == _VARINT else _varint(data, listed + 1)[1]
            yield name, (first, position)


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    """Read a protobuf variable-length number; give it and what follows it."""
    value = data[position]
    if value < 128:
        return value, position + 1
    value, shift = value & 127, 7
    while shift < 64:
        position += 1
        byte = data[position]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position + 1
        shift += 7
    raise IndexError(position)
