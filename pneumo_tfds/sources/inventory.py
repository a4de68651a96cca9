"""What a source of X-rays holds: its images, where their bytes are read from, and what was left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

LABELS = ("NORMAL", "PNEUMONIA")
"""In the order of their numbers: PNEUMONIA is 1, the positive class."""

SUBTYPES = ("normal", "bacteria", "virus", "unknown")


@dataclass(frozen=True, order=True)
class Image:
    """One image of a source, known by name and not yet read."""

    name: str
    """Path within the source, with `/`; unique; becomes the feature `filename`."""
    label: str = field(compare=False)
    """`NORMAL` or `PNEUMONIA`."""
    patient: str = field(compare=False)
    """Images of one patient have the same text; see `pneumo_tfds.sources.patients`."""
    subtype: str = field(compare=False)
    """One of `SUBTYPES`."""
    official_split: str = field(default="", compare=False)
    """`train`, `val` or `test` as the folder says; empty if the source has no such folders."""
    size: int = field(default=-1, compare=False)
    """Bytes of the file; -1 if unknown before it is read. Images of different size cannot be identical."""
    checksum: int = field(default=-1, compare=False)
    """CRC-32 where an archive tells it for free; -1 elsewhere."""


class Reader(Protocol):
    """Fetches bytes. Safe to call from several threads; can be pickled, so that other machines can read too."""

    def read(self, image: Image) -> bytes:
        """Return the bytes of the file of `image`.

        Raises:
            InputError: the file cannot be read; the message starts with the image's name.
        """


@dataclass(frozen=True)
class Source:
    """Images in order of their names, and the reader that fetches their bytes."""

    where: str
    """The path, as errors and metadata name it."""
    kind: str
    """`folder`, `zip`, `csv` or `phantom`."""
    images: tuple[Image, ...]
    reader: Reader
    ignored: dict[str, int] = field(default_factory=dict)
    """Files that are no images of this data set: reason to count."""

    def read(self, image: Image) -> bytes:
        """Return the bytes of the file of `image`."""
        return self.reader.read(image)

    def fingerprint(self, *options: object) -> str:
        """Twelve hexadecimal digits over names, sizes, labels and `options`; reads no image."""
        # Phantoms have no files to tell drawings and seeds apart; a folder may move and stay the same source.
        made = self.where if self.kind == "phantom" else ""
        digest = hashlib.sha256(repr((self.kind, made, options)).encode())
        for image in self.images:
            line = (image.name, image.label, image.patient, image.subtype, image.official_split)
            digest.update(repr((*line, image.size, image.checksum)).encode())
        return digest.hexdigest()[:12]


def count_by_label(images: Iterable[Image]) -> dict[str, int]:
    """Number of images of each label, in the order of `LABELS`; labels without images included."""
    counts = dict.fromkeys(LABELS, 0)
    for image in images:
        counts[image.label] += 1
    return counts
