"""Building a dataset: ours beside the bare decoder, a plain TFDS builder, and TensorFlow's own decoder.

One piece of work is a whole dataset, from opening the source to the finished folder, so everything that a user waits
for counts: finding duplicates, splitting, hashing, decoding, writing, and what TFDS adds.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import image_folders
from benchmarks.image_folders import Pictures
from benchmarks.measuring.harness import Case, Contender, Record, Work, measure
from benchmarks.options import Options
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.prepared import BuildOptions, build
from pneumo_tfds.program.parallel import one_thread_per_opencv_call
from pneumo_tfds.sources.inventory import LABELS, Image, Reader, Source

SIZE = 224
IMAGES, QUICK_IMAGES = 1024, 256
"""In one dataset. Files are taken more than once where there are fewer, so that fixed costs do not decide."""

_FLAGS = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}

LIMIT_NAME = "limit: bare OpenCV loop"


@dataclass(frozen=True)
class Again:
    """Reads files under several names."""

    reader: Reader
    originals: dict[str, Image]

    def read(self, image: Image) -> bytes:
        """Return the bytes of the file that `image` stands for."""
        return self.reader.read(self.originals[image.name])


def run(options: Options) -> list[Record]:
    """Measure large and small JPEGs, on one core and on all."""
    found = [image_folders.large(options.quick), image_folders.small(options.source, options.quick)]
    threads = sorted({1, options.workers})
    return [record for files in found for count in threads for record in _table(files, count, options)]


def _table(found: Pictures, threads: int, options: Options) -> list[Record]:
    source = _repeated(found.source, QUICK_IMAGES if options.quick else IMAGES)
    paths = [found.folder / _original(source, image).name for image in source.images]
    flagged = [(path, _scale_flag(path)) for path in paths]
    case = Case("build", found.name, SIZE, 1, threads, f"{len(paths):,} images", LIMIT_NAME)
    contenders = [
        Contender(LIMIT_NAME, _repeat(lambda: _bare(flagged, threads))),
        Contender("ours: build", _repeat(lambda: _ours(source, threads))),
        Contender("peer: plain TFDS builder, JPEGs kept whole", _repeat(lambda: _plain(source))),
        Contender("peer: tf.io.decode_jpeg and tf.image.resize", _repeat(lambda: _tensorflow(paths, threads))),
    ]
    return measure(case, contenders, options.pace(seconds=2.0, rounds=5))


def _repeated(source: Source, count: int) -> Source:
    """The files of `source` under as many names as make `count` images; sizes untold, for copies are no finding."""
    step = max(1, len(source.images) // count)  # evenly out of all, so that both classes are there
    files = source.images[::step]
    originals: dict[str, Image] = {}
    images = []
    for number in range(count):
        image = files[number % len(files)]
        path = Path(image.name)
        name = f"{path.parent.as_posix()}/{path.stem}~{number // len(files)}{path.suffix}"
        originals[name] = image
        images.append(replace(image, name=name, size=-1))
    return replace(source, images=tuple(sorted(images)), reader=Again(source.reader, originals))


def _original(source: Source, image: Image) -> Image:
    reader = source.reader
    return reader.originals[image.name] if isinstance(reader, Again) else image


def _repeat(work: Callable[[], int]) -> Callable[[], Work]:
    def prepare() -> Work:
        while True:
            yield work()

    return prepare


def _scale_flag(path: Path) -> int:
    """The smallest scale of the decoder that still covers the target, as our decoder chooses it."""
    header = read_header(path.read_bytes(), path.name)
    return next(
        flag for scale, flag in _FLAGS.items() if scale == 1 or min(header.width, header.height) >= scale * SIZE
    )


def _bare(files: list[tuple[Path, int]], threads: int) -> int:
    """Read, decode at the scale of our decoder, average to size: nothing checked, hashed or written."""

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


def _ours(source: Source, threads: int) -> int:
    """Our build; on one core the caller's thread does everything."""
    with tempfile.TemporaryDirectory(prefix="pneumo-benchmarks-") as folder:
        built = build(source, f"gray_{SIZE}", Path(folder), options=BuildOptions(workers=threads if threads > 1 else 0))
        return sum(built.examples.values())


def _plain(source: Source) -> int:
    """What TFDS's guide leads to: a generator of files, stored as they are, which leaves decoding to every epoch."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    def examples() -> Iterator[tuple[str, dict[str, Any]]]:
        for image in source.images:
            yield image.name, {"image": source.read(image), "label": image.label}

    with registered.skip_registration():

        class PlainXrays(tfds.core.GeneratorBasedBuilder):
            """Files as they are."""

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


def _tensorflow(paths: list[Path], threads: int) -> int:
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
