"""Open a source of X-rays: a folder, a zip as downloaded, or a CSV. Nothing is decoded or copied here.

The description that fits is looked for, folders or tables are read by it, then patients, headers and splits.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import csv_table, tables_beside
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.corrections import corrected, decided
from pneumo_tfds.sources.csv_text import decode_text, read_head, workbook
from pneumo_tfds.sources.description import (
    FOLDERS,
    TABLE,
    Description,
    Found,
    choose_description,
    is_marker,
    known_descriptions,
    recognise,
)
from pneumo_tfds.sources.file_index import FileIndex, file_on_disk
from pneumo_tfds.sources.finishing import finish
from pneumo_tfds.sources.inventory import LABELS, Source
from pneumo_tfds.sources.known_tables import KnownTables
from pneumo_tfds.sources.layout import explain_no_classes, read_folders
from pneumo_tfds.sources.linked_folders import ask_about_links, links_named_for_classes
from pneumo_tfds.sources.listing import WORKBOOK_SUFFIXES, File, NamedReader, images_among, nested_copies, walk
from pneumo_tfds.sources.reading import FolderReader, ReadError
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.table_paths import leave_out_unlisted
from pneumo_tfds.sources.tables_beside import TABLE_SUFFIXES
from pneumo_tfds.sources.zip_archive import ZipReader, list_members

PACKED = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
"""Endings of archives that are not opened."""

COMPARED_BYTES = 4096
"""First bytes by which two files of one name and size are compared."""


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
    suffix = path.suffix.lower()
    if suffix in WORKBOOK_SUFFIXES:
        raise workbook(str(path))
    if suffix in TABLE_SUFFIXES:
        return understand_table(path, options)
    if suffix == ".zip" or _has_zip_signature(path):
        return understand_files(path, "zip", ZipReader(path), list_members(path), options)
    if suffix in PACKED:
        raise InputError(
            f"{path}: is packed; unpack it (gunzip, tar or 7z), and pass the folder or table that it holds"
        )
    raise InputError(f"{path}: neither a folder nor a zip nor a CSV; pass one of these with the X-rays")


def reader_of(path: str | os.PathLike[str]) -> NamedReader:
    """Return the reader of the files of a source that was understood before; nothing is listed or read.

    The names that it takes are those that the images of the source had.

    Raises:
        InputError: the source does not exist.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return FolderReader(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; pass the folder, zip or table that was read before")
    return FolderReader(path.parent) if path.suffix.lower() in TABLE_SUFFIXES else ZipReader(path)


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
    for label, other, flag in zip(LABELS, LABELS[::-1], ("--negative", "--positive"), strict=True):
        if not counts[label]:
            raise InputError(
                f"{source.where}: {counted(counts[other], f'{other} image')} but no {label} images{left_out}; add a "
                f"{label} folder beside it, or name its folder or label with {flag}"
            )


def understand_files(
    path: Path, kind: str, reader: NamedReader, files: Sequence[File], options: SourceOptions
) -> Source:
    """Return the images among the files of a folder or an archive, and what was understood of them.

    Raises:
        InputError: there is no image, or none that can be given a class.
    """
    notes = SurveyNotes(decided=decided(options.corrections))
    images = images_among([file for file in files if not is_marker(file)], reader, notes)
    if not images:
        found = ", ".join(f"{len(names)} {reason}" for reason, names in notes.left_out.items()) or "it is empty"
        doubts = "".join(f"; {remark.text}" for remark in notes.remarks)
        raise InputError(f"{path}: no images found ({found}); expected JPEG, PNG or DICOM files{doubts}")
    heads = tables_beside.read_heads(files, reader, notes)
    like = recognise(files, images, [(head.file.name.rpartition("/")[2], head.columns) for head in heads])
    if options.layout:
        description = choose_description(options.layout)
    elif len(like) > 1:
        names = " or ".join(description.name for description in like)
        raise InputError(f"{path}: looks like several known data sets; say which with --layout {names}")
    else:
        description = like[0] if like else FOLDERS
    markers = [file.name for file in files if is_marker(file)]
    if markers and not description.marker:
        alone = any(one.marker for one in like)
        _ask_about_marker(markers[0], "leave --layout out" if alone else "pass them or the others alone", notes)
    classes = _classes(description, options)
    ask_about_links(files, classes, notes)
    source, same = Source(str(path), kind, (), reader), partial(_same, reader)
    try:
        _check_options(description, (description,) if markers else like, options, notes)
        if description.tables:
            if any(table.anywhere for table in description.tables):
                copies = nested_copies(((file, ()) for file in images), same, notes)
                images = [file for file in images if file not in copies]
            tables = KnownTables(description, classes, options, FileIndex(files), FileIndex(images), reader, notes)
            return finish(source, reader, tables.read_all(images), options, notes)
        labelled = read_folders(images, classes, same, notes)
        use = tables_beside.pass_as_source(path, kind)
        if not labelled:
            raise InputError(
                explain_no_classes(images, classes, *tables_beside.explain_tables(files, heads, classes, use))
                + links_named_for_classes(files, classes)
            )
        index = FileIndex(images)
        tables_beside.warn_of_tables(heads, index, classes, use, notes)
        tables_beside.warn_of_lists(files, index, reader, notes)
        return finish(source, reader, Found(labelled, description, classes), options, notes)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error


def understand_table(path: Path, options: SourceOptions) -> Source:
    """Return the images that a CSV lists, and what was understood of them.

    A table of a known data set is read by its description, with the folder that it lies in as the source.

    Raises:
        InputError: something in the table is wrong; the message names the line.
    """
    reader, notes = FolderReader(path.parent), SurveyNotes(decided=decided(options.corrections))
    text = decode_text(reader.read_name(path.name), str(path))
    columns, _ = read_head(text[: tables_beside.HEADING_BYTES], str(path))
    chosen = [choose_description(options.layout)] if options.layout else known_descriptions().values()
    fitting = ((description, description.table_of(path.name, columns)) for description in chosen)
    description, table = next(((one, table) for one, table in fitting if table), (TABLE, None))
    if options.layout and not table and FOLDERS not in chosen:
        raise InputError(
            f"{path.name}: is no table of the layout {options.layout}; pass the folder, or leave --layout out"
        )
    classes = _classes(description, options)
    if table:
        index = FileIndex(walk(path.parent))
        found = KnownTables(description, classes, options, index, index, reader, notes).read(path.name, table)
        listed = {one.file.name for one in found.labelled}.union(*notes.left_out.values())
        leave_out_unlisted(listed, path.parent, notes)
    else:
        _check_options(TABLE, (), options, notes)
        everywhere = partial(_below, path.parent)
        found = csv_table.read_table(text, str(path), file_on_disk(path.parent), everywhere, classes, notes)
    if marker := _marker_above([path.parent / one.file.name for one in found.labelled]):
        _ask_about_marker(str(marker), "remove their rows, or pass their folder", notes)
    doubts = "".join(f"; {remark.text}" for remark in notes.remarks[:3])
    if not found.labelled and notes.left_out:
        reasons = ", ".join(f"{len(names):,} {reason}" for reason, names in notes.left_out.items())
        raise InputError(
            f"{path}: all images of its rows are left out ({reasons}); correct the columns that say so{doubts}"
        )
    if not found.labelled:
        above = "; if its images are in a folder above it, pass that folder"
        expected = above if table else "; expected lines of path,label,patient"
        raise InputError(f"{path}: no images found in its rows{expected}{doubts}")
    try:
        return finish(Source(str(path), "csv", (), reader), reader, found, options, notes)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error


def _ask_about_marker(marker: str, remedy: str, notes: SurveyNotes) -> None:
    notes.ask(
        f"{marker} says that the images beside it are no X-rays but drawn phantoms; --yes takes them for X-rays; else "
        f"{remedy}"
    )


def _marker_above(images: Iterable[Path]) -> Path | None:
    """Return the first file above images on a disk that says what they are; None if there is none."""
    folders = {folder for place in {image.parent for image in images} for folder in (place, *place.parents)}
    names = [one.marker for one in known_descriptions().values() if one.marker]
    return next((folder / name for folder in sorted(folders) for name in names if (folder / name).is_file()), None)


def _has_zip_signature(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)}); check its permissions") from error


def _below(folder: Path) -> FileIndex:
    """Return the files below a folder; none if one of its folders cannot be listed, as this is no more than a help."""
    with suppress(ReadError):
        return FileIndex(walk(folder))
    return FileIndex(())


def _classes(description: Description, options: SourceOptions) -> ClassWords:
    return ClassWords(options.negative or description.negative, options.positive or description.positive)


def _same(reader: NamedReader, one: File, other: File) -> bool:
    """Return whether two files of one name, size and checksum are equal; without a checksum, by their first bytes."""
    head = partial(reader.read_name, first=COMPARED_BYTES)
    return one.checksum >= 0 or head(one.name) == head(other.name)


def _check_options(
    description: Description, like: Sequence[Description], options: SourceOptions, notes: SurveyNotes
) -> None:
    """Ask about a layout that nothing in a folder is like; raise InputError if `--uncertain` applies to nothing."""
    if options.uncertain and all(table.label for table in description.tables):
        raise InputError(
            "--uncertain has no effect here, as only tables of known data sets with a column for each finding mark "
            "some as uncertain; leave it out"
        )
    known = description in known_descriptions().values() and not description.tables
    if options.layout and known and description not in like:
        notes.ask(
            f"nothing in it is named as {description.title} is; --yes reads it by that layout; else leave --layout out"
        )
