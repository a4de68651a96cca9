"""The image files that the stages read: temporary folders of JPEGs in Kaggle's layout, removed at exit."""

from __future__ import annotations

import atexit
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.decode import decode
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.phantoms.phantom_source import write_phantoms
from pneumo_tfds.program.progress import track
from pneumo_tfds.sources.inventory import Source
from pneumo_tfds.sources.opening import open_source

SMALL = 224
"""Side in pixels of the small JPEGs."""
FILES, QUICK_FILES = 4096, 1024
"""Maximum number of small JPEGs."""
LARGE_FILES, QUICK_LARGE_FILES = 256, 128
"""Number of phantoms of about 1,400 x 1,000 pixels; a run reads some of them more than once."""
QUALITY = 95
HEAVY_FILES, QUICK_HEAVY_FILES = 64, 16
"""Number of JPEGs of about 1 MB."""
HEAVY_SCALE, HEAVY_NOISE, HEAVY_QUALITY = 2, 4, 90
"""Factor that enlarges phantoms to the size of a detector, noise in grey levels, JPEG quality: 0.9 to 1.1 MB."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class JpegFolder:
    """JPEG files in `folder/train/NORMAL` and `folder/train/PNEUMONIA`."""

    name: str
    """For a table's title."""
    folder: Path

    @property
    def train(self) -> Path:
        """The folder that has one folder for each class."""
        return self.folder / "train"

    @property
    def source(self) -> Source:
        """The same files for our own readers."""
        return open_source(self.folder)

    @property
    def paths(self) -> list[str]:
        """Every file, sorted."""
        return sorted(str(path) for path in self.train.glob("*/*.jpeg"))

    def decoded(self, count: int, size: int) -> tuple[npt.NDArray[np.uint8], list[str]]:
        """Return `count` images taken evenly, uint8 `[n, S, S, 1]`, and their files; few files repeat."""
        paths = self.paths
        files = [paths[place * len(paths) // count] for place in range(count)]
        return np.stack([decode(Path(path).read_bytes(), size, path) for path in files]), files


@lru_cache(maxsize=2)
def small(source: Path | None, quick: bool) -> JpegFolder:
    """Return files of 224 x 224 pixels: those of `source`, copied if they have that size already, or shrunk phantoms.

    Each phantom occurs up to 16 times, turned, mirrored and inverted, so that all files together exceed any cache.
    """
    count = QUICK_FILES if quick else FILES
    folder = _temporary()
    if source:
        opened = open_source(source)
        for image in track(spread(opened.images, count), "Writing small JPEGs"):
            data = opened.read(image)
            header = read_header(data, image.name)
            if (header.format, header.width, header.height) != ("JPEG", SMALL, SMALL):
                data = _jpeg(decode(data, SMALL, image.name))
            _write(folder / "train" / image.label / f"{Path(image.name).stem}.jpeg", data)
        return JpegFolder(f"{source.name}, {SMALL}² JPEGs", folder)
    drawn = large(quick).paths
    for number, path in enumerate(track(drawn, "Writing small JPEGs")):
        grey = decode(Path(path).read_bytes(), SMALL, path)[:, :, 0]
        for view in range(min(16, -(-count // len(drawn)))):
            turned = np.rot90(grey if view < 8 else 255 - grey, view % 4)
            place = folder / "train" / Path(path).parent.name / f"patient{number}_{view}.jpeg"
            _write(place, _jpeg(np.ascontiguousarray(turned if view % 8 < 4 else turned[:, ::-1])))
    return JpegFolder(f"phantoms, {SMALL}² JPEGs", folder)


@lru_cache(maxsize=2)
def large(quick: bool) -> JpegFolder:
    """Return phantoms as they are drawn, about 1,400 x 1,000 pixels."""
    folder = _temporary()
    write_phantoms(folder / "drawn", QUICK_LARGE_FILES if quick else LARGE_FILES)
    for path in sorted((folder / "drawn").glob("*/*/*.jpeg")):
        place = folder / "train" / path.parent.name / f"{path.parent.parent.name}_{path.name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    return JpegFolder("phantoms, 1,400 x 1,000 JPEGs", folder)


@lru_cache(maxsize=2)
def heavy(quick: bool) -> JpegFolder:
    """Return files of about 1 MB and 2,700 x 1,800 pixels, as detectors make them."""
    folder = _temporary()
    random = np.random.default_rng(0)
    for path in spread(large(quick).paths, QUICK_HEAVY_FILES if quick else HEAVY_FILES):
        drawn = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        grey = cv2.resize(drawn, None, fx=HEAVY_SCALE, fy=HEAVY_SCALE, interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(grey + random.normal(0, HEAVY_NOISE, grey.shape), 0, 255).astype(np.uint8)
        _write(folder / "train" / Path(path).parent.name / Path(path).name, _jpeg(noisy, HEAVY_QUALITY))
    return JpegFolder("phantoms, 2,700 x 1,800 JPEGs of 1 MB", folder)


@lru_cache(maxsize=4)
def dataset(found: JpegFolder, image_size: int) -> Path:
    """Return the folder of the dataset built from them; it is built once."""
    from pneumo_tfds.prepared import prepare

    return prepare(found.folder, image_size, found.folder / "built")


@lru_cache(maxsize=4)
def tars(found: JpegFolder, workers: int) -> list[str]:
    """Return tar files with the same images, four for each worker if there are enough images, as WebDataset reads."""
    folder, paths = _temporary(), found.paths
    shards = min(4 * workers, len(paths))
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:04}.tar", "w") as tar:
            for number, path in enumerate(paths[shard::shards]):
                tar.add(path, f"{number}.jpeg")
    return sorted(str(path) for path in folder.iterdir())


def _jpeg(grey: npt.NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    return cv2.imencode(".jpeg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _write(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return `count` items, or all if there are fewer, taken evenly, so that the classes keep their proportions."""
    count = min(count, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pneumo-benchmarks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
