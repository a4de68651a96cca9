"""The images of a source, the reader that fetches their bytes, and how many files were left out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pneumo_tfds.sources.survey import Survey

LABELS = ("NORMAL", "PNEUMONIA")
"""The classes in the order of their numbers. PNEUMONIA is 1, the positive class."""

Validation = Literal["redrawn", "given"]
"""Whether the images of `train` and `val` are divided anew, see `Source.validation`."""

PHANTOMS = "phantoms"
"""Layout of drawn images in files, which are no X-rays."""

SUBTYPES = ("normal", "bacteria", "virus", "unknown")
KINDS = SUBTYPES[1:3]
"""Kinds of pneumonia that a network can tell apart; the second is the one whose probability it gives."""
VIRUS_FROM = 0.5
"""P(VIRUS) from which a pneumonia is called viral. Nobody chose it, and the probabilities are not calibrated. The page
has it too (`export/web/page/decision.mjs`)."""


@dataclass(frozen=True, order=True)
class Image:
    """One image of a source, known by name and not yet read."""

    name: str
    """Path within the source, with `/`; unique; becomes the feature `filename`."""
    label: str = field(compare=False)
    """`NORMAL` or `PNEUMONIA`."""
    patient: str = field(compare=False)
    """The same text for all images of one patient; see `pneumo_tfds.sources.patients`."""
    subtype: str = field(compare=False)
    """One of `SUBTYPES`."""
    official_split: str = field(default="", compare=False)
    """`train`, `val` or `test` by the folder or table; empty if the source has no splits."""
    size: int = field(default=-1, compare=False)
    """Bytes of the file; -1 if unknown before it is read. Images of different size cannot be identical."""
    checksum: int = field(default=-1, compare=False)
    """CRC-32 if an archive lists it; else -1."""

    @property
    def base_name(self) -> str:
        """The name without its folders."""
        return self.name.rpartition("/")[2]


class Reader(Protocol):
    """Fetches bytes. Safe to call from several threads; can be pickled, so that other machines can read too."""

    def read(self, image: Image) -> bytes:
        """Return the bytes of the file of `image`, or raise InputError with a message that starts with its name."""


@dataclass(frozen=True)
class Source:
    """Images in order of their names, and the reader that fetches their bytes."""

    where: str
    """The path, for messages and metadata."""
    kind: str
    """`folder`, `zip`, `csv` or `phantom`."""
    images: tuple[Image, ...]
    reader: Reader
    survey: Survey = field(default_factory=Survey)
    """What was understood, left out or doubtful."""
    validation: Validation = "redrawn"
    """`redrawn`: the images of `train` and `val` are divided anew by patient, as for the published archive, whose
    validation folder has 16 images. `given`: the `official_split` of each image is final."""

    @property
    def ignored(self) -> dict[str, int]:
        """Reason to number of files that were left out."""
        return {group.reason: group.files for group in self.survey.left_out}

    def read(self, image: Image) -> bytes:
        """Return the bytes of the file of `image`."""
        return self.reader.read(image)

    def fingerprint(self, options: str) -> str:
        """Return 12 hexadecimal digits of a hash over names, sizes, labels and `options`, without reading an image.

        Datasets are found by it, so the hashed text must never change; `options` is `SplitOptions.as_text()`.
        """
        # Phantoms have no files to tell drawings and seeds apart; a folder may move and stay the same source.
        made = self.where if self.kind == "phantom" else PHANTOMS if self.survey.layout == PHANTOMS else ""
        options += ", given" if self.validation == "given" else ""
        digest = hashlib.sha256(f"({self.kind!r}, {made!r}, ({options},))".encode())
        for image in self.images:
            line = (image.name, image.label, image.patient, image.subtype, image.official_split)
            digest.update(repr((*line, image.size, image.checksum)).encode())
        return digest.hexdigest()[:12]


def manifest(digests: Mapping[str, str]) -> str:
    """Return the SHA-256 of files by name as lines that `sha256sum` checks, in order of names."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
