"""Building a dataset: ours beside the bare decoder, a plain TFDS builder, and TensorFlow's own decoder.

One piece of work is a whole dataset, from opening the source to the finished folder. It includes everything that a user
waits for: finding duplicates, splitting, hashing, decoding, writing, and what TFDS adds.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
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
from benchmarks.measuring.harness import Case, Contender, Record, measure
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.prepared import BuildOptions, build
from pneumo_tfds.program.parallel import one_thread_per_opencv_call
from pneumo_tfds.sources.inventory import LABELS, Image, Reader, Source

SIZE = 224
IMAGES, QUICK_IMAGES = 1024, 256
"""Images in one dataset. Files are repeated if there are fewer, so that fixed costs do not dominate."""

DECODER_FLAGS = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}

LIMIT = "limit: bare OpenCV loop"


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
    source = repeat_files(found.source, QUICK_IMAGES if options.quick else IMAGES)
    paths = [found.folder / original(source, image).name for image in source.images]
    flagged = [(path, decoder_flag(path)) for path in paths]
    case = Case("build", found.name, SIZE, 1, threads, f"{len(paths):,} images", LIMIT)
    contenders = [
        Contender(LIMIT, lambda: partial(decode_bare, flagged, threads)),
        Contender("ours: build", lambda: partial(build_ours, source, threads)),
        Contender("peer: plain TFDS builder, JPEGs kept whole", lambda: partial(build_plain_tfds, source)),
        Contender("peer: tf.io.decode_jpeg and tf.image.resize", lambda: partial(decode_by_tensorflow, paths, threads)),
    ]
    return measure(case, contenders, options.pace(seconds=2.0, rounds=5))


def repeat_files(source: Source, count: int) -> Source:
    """Return `source` with its files repeated under new names until there are `count` images.

    Their size is -1, so that copies are not reported as duplicates.
    """
    step = max(1, len(source.images) // count)  # taken evenly, so that both classes occur
    files = source.images[::step]
    originals: dict[str, Image] = {}
    images = []
    for number in range(count):
        image = files[number % len(files)]
        path = Path(image.name)
        name = f"{path.parent.as_posix()}/{path.stem}~{number // len(files)}{path.suffix}"
        originals[name] = image
        images.append(replace(image, name=name, size=-1))
    return replace(source, images=tuple(sorted(images)), reader=RepeatingReader(source.reader, originals))


def original(source: Source, image: Image) -> Image:
    """Return the image whose file `image` stands for."""
    reader = source.reader
    return reader.originals[image.name] if isinstance(reader, RepeatingReader) else image


def decoder_flag(path: Path) -> int:
    """Return OpenCV's flag for the smallest scale that covers the target size, as our decoder chooses it."""
    header = read_header(path.read_bytes(), path.name)
    return next(
        flag for scale, flag in DECODER_FLAGS.items() if scale == 1 or min(header.width, header.height) >= scale * SIZE
    )


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


def build_ours(source: Source, threads: int) -> int:
    """Build the dataset with our builder; on one core the caller's thread does everything."""
    with tempfile.TemporaryDirectory(prefix="pneumo-benchmarks-") as folder:
        built = build(source, f"gray_{SIZE}", Path(folder), options=BuildOptions(workers=threads if threads > 1 else 0))
        return sum(built.examples.values())


def build_plain_tfds(source: Source) -> int:
    """Build it as in TFDS's guide, from a generator of files stored as they are, to be decoded in every epoch."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    def examples() -> Iterator[tuple[str, dict[str, Any]]]:
        for image in source.images:
            yield image.name, {"image": source.read(image), "label": image.label}

    with registered.skip_registration():

        class PlainXrays(tfds.core.GeneratorBasedBuilder):
            """Files stored as they are."""

            VERSION = tfds.core.Version("1.0.0")

            def _info(self) -> Any:
                features = {
                    "image": tfds.features.Image(shape=(None, None, 1)),
                    "label": tfds.features.ClassLabel(names=list(LABELS)),
                }
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

            def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
                return {"train": examples()}

            def _generate_examples(self) -> Any:
                raise NotImplementedError

    tfds.disable_progress_bar()
    silence = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory(prefix="pneumo-benchmarks-") as folder, silence:
        PlainXrays(data_dir=folder).download_and_prepare()
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
