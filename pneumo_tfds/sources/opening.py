"""Open a source of X-rays: a folder, a zip as downloaded, or a CSV. Nothing is decoded or copied here."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.corrections import corrected
from pneumo_tfds.sources.csv_text import workbook
from pneumo_tfds.sources.inventory import LABELS, Source
from pneumo_tfds.sources.listing import WORKBOOK_SUFFIXES, walk
from pneumo_tfds.sources.reading import FolderReader
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.sources.tables_beside import TABLE_SUFFIXES
from pneumo_tfds.sources.understanding import understand_files, understand_table
from pneumo_tfds.sources.zip_archive import ZipReader, list_members

PACKED = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
"""Endings of archives that are not opened."""


def open_source(path: str | os.PathLike[str], options: SourceOptions | None = None) -> Source:
    """Find the images of a source, if nothing about it is left to be decided.

    Args:
        path: a folder or zip with folders NORMAL and PNEUMONIA, a known data set, or a CSV of `path,label[,patient]`.
        options: what the user says about it.

    Raises:
        InputError: the source does not exist, cannot be read, has no images of one of the classes, or something in it
            is not understood and `options.yes` does not accept what is done about it.
    """
    options = options or SourceOptions()
    source = understand(path, options)
    require_decisions(source, options)
    require_both_classes(source)
    return source


def understand(path: str | os.PathLike[str], options: SourceOptions | None = None) -> Source:
    """Find the images of a source, and say in its `survey` what is left out, doubtful, or left to be decided.

    Raises:
        InputError: the source does not exist, cannot be read, or holds no image that can be given a class; or its
            corrections are those of another.
    """
    path, options = Path(path).expanduser(), options or SourceOptions()
    return corrected(_understood(path, options), options.corrections)


def _understood(path: Path, options: SourceOptions) -> Source:
    if path.is_dir():
        return understand_files(path, "folder", FolderReader(path), list(walk(path)), options)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; pass the folder or zip with the NORMAL and PNEUMONIA images")
    if path.suffix.lower() in WORKBOOK_SUFFIXES:
        raise workbook(str(path))
    if path.suffix.lower() in TABLE_SUFFIXES:
        return understand_table(path, options)
    if path.suffix.lower() == ".zip" or _has_zip_signature(path):
        return understand_files(path, "zip", ZipReader(path), list_members(path), options)
    if path.suffix.lower() in PACKED:
        raise InputError(
            f"{path}: is packed; unpack it (gunzip, tar or 7z), and pass the folder or table that it holds"
        )
    raise InputError(f"{path}: neither a folder nor a zip nor a CSV; pass one of these with the X-rays")


def require_decisions(source: Source, options: SourceOptions) -> None:
    """Raise InputError if the user has to decide something first, or if there is a warning and `options.strict`."""
    asked = [] if options.yes else source.survey.questions
    asked += source.survey.warnings if options.strict else []
    if asked:
        more = f" (and {len(asked) - 1} more; see python -m pneumo_tfds inspect)" if len(asked) > 1 else ""
        raise InputError(f"{source.where}: {asked[0]}{more}")


def require_both_classes(source: Source) -> None:
    """Raise InputError if a class has no image."""
    counts = Counter(image.label for image in source.images)
    groups = source.survey.left_out[:3]
    left_out = "".join(f"; {counted(group.files, 'file')} left out: {group.reason}" for group in groups)
    if not counts:
        raise InputError(f"{source.where}: no image is left{left_out}")
    for label, other in (LABELS, LABELS[::-1]):
        if not counts[label]:
            flag = "--negative" if label == LABELS[0] else "--positive"
            raise InputError(
                f"{source.where}: {counted(counts[other], f'{other} image')} but no {label} images{left_out}; add a "
                f"{label} folder beside it, or name its folder or label with {flag}"
            )


def _has_zip_signature(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)}); check its permissions") from error
