"""Open a source of X-rays: a folder, a zip as downloaded, or a CSV. Nothing is decoded or copied here."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pneumo_tfds.decode.dicom import patient_of
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.limits import MAX_FILE_BYTES
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.csv_table import read_table
from pneumo_tfds.sources.inventory import LABELS, Image, Reader, Source
from pneumo_tfds.sources.layout import DICOM_SUFFIXES, File, arrange
from pneumo_tfds.sources.patients import UNKNOWN_PATIENT
from pneumo_tfds.sources.zip_archive import ZipReader, list_members


@dataclass(frozen=True)
class FolderReader:
    """Reads files below a folder."""

    root: Path

    def read(self, image: Image) -> bytes:
        """Return the bytes of a file of at most `MAX_FILE_BYTES`."""
        try:
            # Unbuffered and without pathlib: threads that read small files wait for Python, not for the disk.
            with open(os.path.join(self.root, image.name), "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                    raise InputError(
                        f"{image.name}: over {MAX_FILE_BYTES >> 20} MiB, the limit for one image; remove it"
                    )
                return file.read()
        except OSError as error:
            raise InputError(f"{image.name}: cannot be read ({reason_of(error)}); check {self.root}") from error


def open_source(path: str | os.PathLike[str]) -> Source:
    """Find the images of a source.

    Args:
        path: a folder or zip in Kaggle's or Mendeley's layout (any letter case, with or without train, val and test
            folders), or a CSV with the columns `path,label[,patient]`.

    Raises:
        InputError: the source does not exist, cannot be read, or has no images of one of the classes.
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
    elif path.suffix.lower() == ".zip" or _has_zip_signature(path):
        kind, reader = "zip", ZipReader(path)
        images, ignored = arrange(list_members(path))
    else:
        raise InputError(f"{path}: neither a folder nor a zip nor a CSV; pass one of these with the X-rays")
    _check(path, images, ignored)
    return Source(str(path), kind, tuple(_with_dicom_patient(image, reader) for image in images), reader, ignored)


def _check(path: Path, images: tuple[Image, ...], ignored: dict[str, int]) -> None:
    if not images:
        found = ", ".join(f"{count} {reason}" for reason, count in ignored.items()) or "it is empty"
        raise InputError(
            f"{path}: no images found ({found}); expected folders NORMAL and PNEUMONIA with .jpeg, .png or .dcm files"
        )
    counts = Counter(image.label for image in images)
    for label, other in (LABELS, LABELS[::-1]):
        if not counts[label]:
            found = counted(counts[other], f"{other} image")
            raise InputError(f"{path}: {found} but no {label} images; add a {label} folder beside it")


def _with_dicom_patient(image: Image, reader: Reader) -> Image:
    """Return a DICOM image whose name tells no patient with a hash of the patient id in its header, if it has one."""
    if not (image.name.lower().endswith(DICOM_SUFFIXES) and UNKNOWN_PATIENT in image.patient):
        return image
    with suppress(InputError):  # the build reports it among the unreadable images
        if patient := patient_of(reader.read(image)):
            return replace(image, patient=f"dicom:{hashlib.sha256(patient.encode()).hexdigest()[:12]}")
    return image


def _walk(root: Path) -> Iterator[File]:
    """Yield the files below `root`. Symbolic links are followed, but no folder is entered twice."""
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
    raise InputError(f"{error.filename}: cannot be listed ({reason_of(error)}); check its permissions") from error


def _has_zip_signature(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)}); check its permissions") from error
