"""Records to files, one shard after the other or as pieces of work on Apache Beam. Both write the same bytes.

TFDS writes the files (so every format it knows will do) but not through its writers: the usual one keeps up to a
gigabyte in memory to shuffle what is already in order, the shard-based one keeps a whole shard, and its Beam path, in
4.9.10, runs once more for every split, adds a step to the graph per shard, and sorts shards as text (10 before 2).
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import islice
from typing import Any

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inventory import Image, Reader
from pneumo_tfds.writing.examples import Notes, Record, stream


@dataclass(frozen=True)
class Shard:
    """A file to write, and the images in it."""

    split: str
    path: str
    """In the folder of the unfinished dataset; may be in the cloud."""
    images: tuple[Image, ...]


@dataclass(frozen=True)
class Written:
    """A file that was written."""

    count: int
    """Records in it; fewer than images if some could not be read."""
    bytes: int


def write_here(shards: Sequence[Shard], records: Iterator[Record], notes: Notes, file_format: Any) -> list[Written]:
    """Write shards one after the other from one stream of records, so that no thread waits while a file is closed."""
    total = sum(len(shard.images) for shard in shards)
    return [_write(shard, islice(records, len(shard.images)), notes, file_format, total) for shard in shards]


def write_on_beam(
    shards: Sequence[Shard], reader: Reader, image_size: int, notes: Notes, file_format: Any, runner: Any, options: Any
) -> list[Written]:
    """Write shards in one pipeline, each by whichever worker gets it.

    Args:
        shards: of all splits.
        reader: must be able to read where the workers run.
        image_size: pixels a side.
        notes: gets the notes of all shards.
        file_format: of TFDS.
        runner: name or instance of a Beam runner.
        options: Beam's pipeline options, or None.
    """
    import apache_beam as beam

    write = WriteShard(reader, image_size, file_format)
    for shard in shards:  # as files and not in the graph, which runners limit to a few megabytes
        _beside(shard.path, "todo").write_text(json.dumps([astuple(image) for image in shard.images]))
    paths = [(shard.split, shard.path) for shard in shards]
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        _ = pipeline | "Shards" >> beam.Create(paths) | beam.Reshuffle() | "Write" >> beam.MapTuple(write)
    written = []
    for shard in shards:
        done = _beside(shard.path, "done")
        told: Mapping[str, Any] = json.loads(done.read_text())
        written.append(Written(**told["written"]))
        notes.merge(Notes(**told["notes"]))
        done.unlink()
        _beside(shard.path, "todo").unlink()
    return written


@dataclass(frozen=True)
class WriteShard:
    """What a Beam worker does with a shard: write it, and leave its notes beside it. A second attempt overwrites."""

    reader: Reader
    image_size: int
    file_format: Any

    def __call__(self, split: str, path: str) -> str:
        """Return the path of the file."""
        images = tuple(Image(*values) for values in json.loads(_beside(path, "todo").read_text()))
        notes = Notes()
        records = stream(self.reader, images, self.image_size, workers=0)
        written = _write(Shard(split, path, images), records, notes, self.file_format)
        done = _beside(path, "done")
        partial = done.with_name(f"{done.name}.{os.getpid()}")
        partial.write_text(json.dumps({"written": vars(written), "notes": vars(notes)}))
        partial.replace(done)
        return path


def _beside(shard_path: str, what: str) -> Any:
    """A small file beside a shard, until the dataset is whole."""
    import tensorflow_datasets as tfds

    path = tfds.core.Path(shard_path)
    return path.with_name(f"{what}.{path.name}.json")


def _write(
    shard: Shard, records: Iterable[Record], notes: Notes, file_format: Any, total: int | None = None
) -> Written:
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import file_adapters

    count = 0

    def kept() -> Iterator[tuple[str, bytes]]:
        nonlocal count
        for record in records:
            notes.add(record)
            if record.data is not None:
                count += 1
                yield record.image.name, record.data
            elif total is not None:
                notes.check_share(total)

    try:
        file_adapters.ADAPTER_FOR_FORMAT[file_format].write_examples(shard.path, kept())
        return Written(count, tfds.core.Path(shard.path).stat().length)
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), shard.path) from error
    except tf.errors.OpError as error:
        raise InputError(f"cannot write {shard.path}: {error.message}; choose another --data-dir") from error
