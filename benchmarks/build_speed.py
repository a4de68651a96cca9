"""Building a dataset: ours beside the bare decoder, a plain TFDS builder, and TensorFlow's own decoder.

One piece of work is a whole dataset, from opening the source to the finished folder: splitting, hashing, decoding,
writing, and what TFDS adds. The peers look for no copies among the pictures, so ours is measured without that search,
and once more as it is by default, with the search for near-identical pictures. The search for files that are equal byte
for byte has no work here: of files of different sizes it reads none.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import image_folders
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.image_folders import JpegFolder
from benchmarks.measuring.harness import Case, Contender, Record, Work, measure
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.decode.jpeg import REDUCED
from pneumo_tfds.prepared import BuildOptions, build
from pneumo_tfds.program.parallel import one_thread_per_opencv_call
from pneumo_tfds.sources.inventory import LABELS, Image, Reader, Source

SIZE = 224
IMAGES, QUICK_IMAGES = 1024, 256
"""Images in one dataset. Files are repeated if there are fewer, so that fixed costs do not dominate."""

LIMIT = "limit: bare OpenCV loop"
PLAIN_TFDS = "peer: plain TFDS builder, JPEGs kept whole, one thread"  # in every table: it takes no number of threads


@dataclass(frozen=True)
class RepeatingReader:
    """Reads files under several names each."""

    reader: Reader
    originals: dict[str, Image]

    def read(self, image: Image) -> bytes:
        """Return the bytes of the file that `image` stands for."""
        return self.reader.read(self.originals[image.name])


def measure_stage(options: BenchmarkOptions) -> list[Record]:
    """Measure large and small JPEGs, on one core and on all."""
    found = [image_folders.large(options.quick), image_folders.small(options.source, options.quick)]
    threads = sorted({1, options.workers})
    return [record for files in found for count in threads for record in _measure_table(files, count, options)]


def _measure_table(found: JpegFolder, threads: int, options: BenchmarkOptions) -> list[Record]:
    source, originals = repeat_files(found.source, QUICK_IMAGES if options.quick else IMAGES)
    paths = [found.folder / image.name for image in originals]
    flagged = [(path, decoder_flag(path)) for path in paths]
    case = Case("build", found.name, SIZE, 1, threads, f"{len(paths):,} images", LIMIT)
    contenders = [
        Contender(LIMIT, partial(_repeated, decode_bare, flagged, threads)),
        Contender("ours: build", partial(_repeated, build_ours, source, threads)),
        Contender("ours: build, as by default", partial(_repeated, build_ours, source, threads, by_default=True)),
        Contender(PLAIN_TFDS, partial(_repeated, build_plain_tfds, source)),
        Contender(
            "peer: tf.io.decode_jpeg and tf.image.resize", partial(_repeated, decode_by_tensorflow, paths, threads)
        ),
    ]
    return measure(case, contenders, options.pace(seconds=2.0, rounds=5))


def _repeated(build: Callable[..., int], *arguments: Any, **named: Any) -> Work:
    while True:
        yield build(*arguments, **named)


def repeat_files(source: Source, count: int) -> tuple[Source, list[Image]]:
    """Repeat the files of `source` under new names until there are `count` images; return them, and what each is of.

    Their size is -1, so that copies are not reported as duplicates.
    """
    files = image_folders.spread(source.images, count)
    originals: dict[str, Image] = {}
    for number in range(count):
        image = files[number % len(files)]
        path = Path(image.name)
        originals[f"{path.parent.as_posix()}/{path.stem}~{number // len(files)}{path.suffix}"] = image
    images = sorted(replace(image, name=name, size=-1) for name, image in originals.items())
    repeated = replace(source, images=tuple(images), reader=RepeatingReader(source.reader, originals))
    return repeated, [originals[image.name] for image in images]


def decoder_flag(path: Path) -> int:
    """Return OpenCV's flag for the smallest scale that covers the target size, as our decoder chooses it."""
    header = read_header(path.read_bytes(), path.name)
    covering = [scale for scale in REDUCED if min(header.width, header.height) >= scale * SIZE]
    return REDUCED[max(covering, default=1)]


def decode_bare(files: list[tuple[Path, int]], threads: int) -> int:
    """Read, decode at the scale of our decoder and resize by area; nothing is checked, hashed or written."""

    def decode(part: list[tuple[Path, int]]) -> None:
        for path, flag in part:
            image: Any = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flag)
            if image.shape != (SIZE, SIZE):
                cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)

    with one_thread_per_opencv_call():
        if threads == 1:
            decode(files)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(decode, [files[start::64] for start in range(64)]))
    return len(files)


def build_ours(source: Source, threads: int, *, by_default: bool = False) -> int:
    """Build the dataset with our builder; on one core the caller's thread does everything.

    Nothing is looked for in the pictures, because the peers do not look either, unless it is to be built as by default.
    Files that occur several times are near-identical pictures then, of which a source of different X-rays has few.
    """
    options = BuildOptions(workers=threads if threads > 1 else 0, look_for_near_identical=by_default)
    with tempfile.TemporaryDirectory(prefix="pneumo-benchmarks-") as folder:
        built = build(source, f"gray_{SIZE}", Path(folder), options=options)
        return sum(built.examples.values())


def build_plain_tfds(source: Source) -> int:
    """Build it as in TFDS's guide, from a generator of files stored as they are, to be decoded in every epoch."""
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(None, None, 1)),
        "label": tfds.features.ClassLabel(names=list(LABELS)),
    }
    examples = ((image.name, {"image": source.read(image), "label": image.label}) for image in source.images)
    tfds.disable_progress_bar()
    silence = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory(prefix="pneumo-benchmarks-") as folder, silence:
        tfds.dataset_builders.store_as_tfds_dataset(
            "plain_xrays", "1.0.0", tfds.features.FeaturesDict(features), {"train": examples}, data_dir=folder
        )
    return len(source.images)


def decode_by_tensorflow(paths: list[Path], threads: int) -> int:
    """Decode whole and resize by area in tf.data; nothing is written."""
    import tensorflow as tf

    def decode(path: Any) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=1)
        return tf.cast(tf.image.resize(image, (SIZE, SIZE), method="area"), tf.uint8)

    dataset = tf.data.Dataset.from_tensor_slices([str(path) for path in paths])
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    dataset = dataset.map(decode, num_parallel_calls=threads).with_options(options)
    return sum(1 for _ in dataset)
