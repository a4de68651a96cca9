"""Write records to files, one shard after the other or in parallel on Apache Beam. Both write the same bytes.

TFDS writes the files, so all its formats work, but not with its writers: the usual one keeps up to a gigabyte in memory
to shuffle records that are already in order, the shard-based one keeps a whole shard, and its Beam path, in 4.9.10,
runs once more for every split, adds a step to the graph per shard, and sorts shards as text (10 before 2).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import islice
from typing import Any

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.framing_names import Framing
from pneumo_tfds.sources.inventory import Image, Reader
from pneumo_tfds.writing.examples import BuildLog, ExampleRecord, stream


@dataclass(frozen=True)
class Shard:
    """A file to write, and the images in it."""

    path: str
    """Its path in the folder of the unfinished dataset, which may be in the cloud."""
    images: tuple[Image, ...]


@dataclass(frozen=True)
class ShardInfo:
    """A file that was written."""

    name: str
    """Its name in the folder of the dataset."""
    count: int
    """Number of its records; fewer than images if some could not be read."""
    bytes: int
    sha256: str


def write_here(
    shards: Sequence[Shard], records: Iterator[ExampleRecord], log: BuildLog, file_format: Any
) -> list[ShardInfo]:
    """Write shards one after the other from one stream of records, so that no thread waits while a file is closed.

    Raises:
        InputError: too many images cannot be read; the rest of the source is not read then.
    """
    total = sum(len(shard.images) for shard in shards)
    return [_write(shard.path, islice(records, len(shard.images)), log, file_format, total) for shard in shards]


def write_on_beam(
    shards: Sequence[Shard],
    reader: Reader,
    image_size: int,
    framing: Framing,
    log: BuildLog,
    file_format: Any,
    runner: Any,
    options: Any,
) -> list[ShardInfo]:
    """Write shards in one pipeline of Beam, each on any of its workers, where `reader` must be able to read."""
    import apache_beam as beam

    for shard in shards:  # in files, because runners limit the graph to a few megabytes
        todo = json.dumps([astuple(image) for image in shard.images])
        _beside(shard.path, "todo").write_text(todo, encoding="utf-8")
    write = beam.Map(_write_on_worker, reader, image_size, framing, file_format)
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        _ = pipeline | "Shards" >> beam.Create([shard.path for shard in shards]) | beam.Reshuffle() | "Write" >> write
    written = []
    for shard in shards:
        done = _beside(shard.path, "done")
        *info, skipped, sha256, source_bytes, _, unusual = json.loads(done.read_text(encoding="utf-8"))
        written.append(ShardInfo(*info))
        log.skipped.update(skipped)
        log.sha256.update(sha256)
        log.source_bytes += source_bytes
        log.unusual.update(unusual)
        done.unlink()
        _beside(shard.path, "todo").unlink()
    return written


def _write_on_worker(path: str, reader: Reader, image_size: int, framing: Framing, file_format: Any) -> None:
    """Write a shard, and its log beside it. A second attempt overwrites the first."""
    images = [Image(*values) for values in json.loads(_beside(path, "todo").read_text(encoding="utf-8"))]
    log = BuildLog()
    written = _write(path, stream(reader, images, image_size, workers=0, framing=framing), log, file_format)
    done = _beside(path, "done")
    partial = done.with_name(f"{done.name}.{os.getpid()}")
    partial.write_text(json.dumps([*astuple(written), *astuple(log)]), encoding="utf-8")
    partial.replace(done)


def _beside(shard_path: str, what: str) -> Any:
    """Return the path of a small file beside a shard, which is removed before the dataset is complete."""
    import tensorflow_datasets as tfds

    path = tfds.core.Path(shard_path)
    return path.with_name(f"{what}.{path.name}.json")


def _write(
    path: str, records: Iterable[ExampleRecord], log: BuildLog, file_format: Any, total: int | None = None
) -> ShardInfo:
    """Write a shard. With `total`, the number of images in all shards, stop once too many of them were skipped."""
    import tensorflow as tf
    from tensorflow_datasets.core import file_adapters

    count = 0

    def readable() -> Iterator[tuple[str, bytes]]:
        nonlocal count
        for record in records:
            log.add(record)
            if record.data is not None:
                count += 1
                yield record.image.name, record.data
            elif total is not None:
                log.check_share(total)

    try:
        file_adapters.ADAPTER_FOR_FORMAT[file_format].write_examples(path, readable())
        size, digest = 0, hashlib.sha256()
        with tf.io.gfile.GFile(path, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
                size += len(block)
        return ShardInfo(os.path.basename(path), count, size, digest.hexdigest())
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path) from error
    except tf.errors.OpError as error:
        raise InputError(f"cannot write {path}: {error.message}; choose another --data-dir") from error
