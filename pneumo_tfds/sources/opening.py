"""Open whatever people have: a folder, a zip as downloaded, or a CSV. Nothing is decoded or copied here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pneumo_tfds.decode.dicom import patient_of
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.csv_table import read_table
from pneumo_tfds.sources.inventory import LABELS, Image, Reader, Source, count_by_label
from pneumo_tfds.sources.layout import File, arrange
from pneumo_tfds.sources.zip_archive import MAX_MEMBER_BYTES as MAX_FILE_BYTES
from pneumo_tfds.sources.zip_archive import ZipReader, list_members

__all__ = ["LABELS", "FolderReader", "Image", "Reader", "Source", "open_source"]


@dataclass(frozen=True)
class FolderReader:
    """Reads files below a folder."""

    root: Path

    def read(self, image: Image) -> bytes:
        """Return the bytes of a file.

        Raises:
            InputError: it vanished, cannot be read, or is absurdly large.
        """
        try:
            # Unbuffered, and the path not taken apart: threads that read small files wait for Python, not for the disk.
            with open(os.path.join(self.root, image.name), "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                    raise InputError(f"{image.name}: over {MAX_FILE_BYTES >> 20} MiB, as no radiograph is; remove it")
                return file.read()
        except OSError as error:
            raise InputError(f"{image.name}: cannot be read ({error.strerror}); check {self.root}") from error


def open_source(path: str | os.PathLike[str]) -> Source:
    """Find the images of a source.

    Args:
        path: a folder or zip in Kaggle's or Mendeley's layout (any letter case, with or without train, val and test
            folders), or a CSV with the columns `path,label[,patient]`.

    Raises:
        InputError: missing, unreadable, no images, or one class only; the message names the path and the way out.
    """
    path = Path(path).expanduser()
    ignored: dict[str, int] = {}
    reader: Reader
    if path.is_dir():
        kind, reader = "folder", FolderReader(path)
        images, ignored = arrange(_walk(path))
    elif not path.exists():
        raise InputError(f"{path}: no such file or folder; pass the folder or zip with the NORMAL and PNEUMONIA images")
    elif path.suffix.lower() == ".csv":
        kind, reader = "csv", FolderReader(path.parent)
        images = read_table(path)
    elif path.suffix.lower() == ".zip" or _starts_like_zip(path):
        kind, reader = "zip", ZipReader(path)
        images, ignored = arrange(list_members(path))
    else:
        raise InputError(f"{path}: neither a folder nor a zip nor a CSV; pass the folder or zip with the X-rays")
    _check(path, images, ignored)
    images = tuple(_ask_dicom(image, reader) if _nameless_dicom(image) else image for image in images)
    return Source(str(path), kind, images, reader, ignored)


def _check(path: Path, images: tuple[Image, ...], ignored: dict[str, int]) -> None:
    if not images:
        seen = ", ".join(f"{count} {reason}" for reason, count in ignored.items()) or "it is empty"
        raise InputError(
            f"{path}: no images found ({seen}); expected NORMAL and PNEUMONIA with .jpeg, .png or .dcm files"
        )
    counts = count_by_label(images)
    for label, other in (LABELS, LABELS[::-1]):
        if not counts[label]:
            raise InputError(
                f"{path}: {counts[other]} {other} images but no {label} ones; add a {label} folder beside it"
            )


def _nameless_dicom(image: Image) -> bool:
    return image.name.lower().endswith(".dcm") and "file:" in image.patient


def _ask_dicom(image: Image, reader: Reader) -> Image:
    """Where the name tells no patient, the DICOM header may; its id is hashed, so that no dataset carries it."""
    try:
        patient = patient_of(reader.read(image))
    except InputError:  # the build will count it among those that cannot be read
        return image
    if not patient:
        return image
    return replace(image, patient=f"dicom:{hashlib.sha256(patient.encode()).hexdigest()[:12]}")


def _walk(root: Path) -> Iterator[File]:
    """Files below `root`, symbolic links followed, a folder that links back to its own ancestor entered once."""
    entered: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_raise):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        subfolders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file():
                yield File(path.relative_to(root).as_posix(), path.stat().st_size)


def _raise(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions") from error


def _starts_like_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
