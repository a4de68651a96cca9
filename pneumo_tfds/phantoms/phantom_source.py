"""A source of phantoms with names, patients and folders like Kaggle's; images are drawn when they are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import cv2
import numpy as np

from pneumo_tfds.phantoms import drawing
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.locks import filled
from pneumo_tfds.program.parallel import ordered_map
from pneumo_tfds.program.progress import track
from pneumo_tfds.sources.description import known_descriptions
from pneumo_tfds.sources.identifiers import TEST_PATIENT, identify
from pneumo_tfds.sources.inventory import PHANTOMS, Image, Source

DEFAULT_COUNT = 1000

QUALITY = 84
"""JPEG quality that gives about 190 kB a file, the average of the published archive."""

_SHARES = {"normal": 0.40, "bacteria": 0.36, "virus": 0.24}
_FOLDERS = {"train": 0.78, "val": 0.02, "test": 0.20}
_FIRST = {"train": 0, "val": 50_000, "test": 60_000}
"""Patients of the splits have numbers of their own, as in the published archive, where no number occurs twice under one
subtype: its training folder leaves out the bacteria numbers 78 to 252 and the virus numbers up to 79."""

_MIN_COUNT = 60

MARKER = """These are phantoms: images that a program drew, named like X-rays. They are no medical images.

pneumo recognises them by this file, and says in reports and models that they are drawn. Keep it beside them.
"""


@dataclass(frozen=True)
class PhantomReader:
    """Draws and encodes an image when it is read. The same seed and name give the same bytes."""

    seed: int

    def read(self, image: Image) -> bytes:
        """Return a grey JPEG of about 1,400 x 1,000 pixels."""
        grey = drawing.render(self.seed, image.patient, image.name, image.subtype)
        _, data = cv2.imencode(".jpeg", grey, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return data.tobytes()


def phantom_source(count: int = DEFAULT_COUNT, seed: int = 0) -> Source:
    """Return a source of `count` phantoms, 40 % normal, in Kaggle's folders, with one to six images per patient.

    Raises:
        InputError: `count` is too small for every split to have both classes.
    """
    if count < _MIN_COUNT:
        raise InputError(
            f"--count is {count}, but every split needs both classes; ask for {_MIN_COUNT} or more phantoms"
        )
    where = f"phantoms(count={count}, seed={seed}, drawing={drawing.VERSION})"
    return Source(where, "phantom", tuple(sorted(map(_image, _names(count, seed)))), PhantomReader(seed))


def _image(name: str) -> Image:
    split, label, _ = name.split("/")
    patient, subtype = identify(name, label)
    return Image(name, label, f"{TEST_PATIENT}{patient}" if split == "test" else patient, subtype, split)


def _names(count: int, seed: int) -> Iterable[str]:
    random = np.random.default_rng(seed)
    for split, part in _divide(count, _FOLDERS).items():
        for subtype, images in _divide(part, _SHARES).items():
            patient, left, serial = 0, images, 0
            while left:
                patient += 1
                taken = min(left, 1 + int(random.binomial(5, 0.2)))
                for view in range(taken):
                    serial += 1
                    yield f"{split}/{_file_name(subtype, patient + _FIRST[split], serial, view)}"
                left -= taken


def _file_name(subtype: str, patient: int, serial: int, view: int) -> str:
    if subtype == "normal":
        series = "NORMAL2-IM" if patient % 2 else "IM"
        return f"NORMAL/{series}-{patient:04d}-{view + 1:04d}.jpeg"
    number = patient if subtype == "bacteria" else patient + 20_000
    return f"PNEUMONIA/person{number}_{subtype}_{serial}.jpeg"


def _divide(count: int, shares: dict[str, float]) -> dict[str, int]:
    """Return whole numbers that sum to `count`, in about these shares."""
    edges = [0, *(round(count * share) for share in accumulate(shares.values()))]
    return {name: end - start for name, (start, end) in zip(shares, pairwise(edges), strict=True)}


def write_phantoms(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Write phantoms as JPEG files in Kaggle's layout below `folder` and return their paths.

    A file PHANTOMS.txt in the folder, and in those of its splits, says that they are drawn.

    Raises:
        InputError: the folder is not empty or cannot be written.
    """
    source = phantom_source(count, seed)
    paths = [folder / image.name for image in source.images]
    with filled(folder):
        drawn = ordered_map(source.read, source.images)
        for path, data in zip(paths, track(drawn, "Drawing phantoms", len(paths)), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for place in (folder, *(folder / split for split in _FOLDERS)):
            (place / known_descriptions()[PHANTOMS].marker).write_text(MARKER, encoding="utf-8")
    return paths
