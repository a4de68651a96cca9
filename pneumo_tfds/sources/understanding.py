"""Understand a source: find the description that fits, read folders or tables by it, then patients and headers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources import csv_table, tables_beside
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import decode_text, read_rows
from pneumo_tfds.sources.description import (
    FOLDERS,
    TABLE,
    Description,
    Found,
    TableDescription,
    choose_description,
    known_descriptions,
    recognise,
)
from pneumo_tfds.sources.file_index import FileIndex, file_on_disk
from pneumo_tfds.sources.finishing import finish
from pneumo_tfds.sources.inventory import Source
from pneumo_tfds.sources.known_tables import KnownTables, note_unlisted, patient_column
from pneumo_tfds.sources.layout import explain_no_classes, read_folders
from pneumo_tfds.sources.listing import File, NamedReader, images_among, walk
from pneumo_tfds.sources.nested_copies import nested_copies
from pneumo_tfds.sources.reading import FolderReader, ReadError
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.sources.survey import SurveyNotes

COMPARED_BYTES = 4096
"""First bytes by which two files of one name and size are compared."""


def understand_files(
    path: Path, kind: str, reader: NamedReader, files: Sequence[File], options: SourceOptions
) -> Source:
    """Return the images among the files of a folder or an archive, and what was understood of them.

    Raises:
        InputError: there is no image, or none that can be given a class.
    """
    notes = SurveyNotes()
    images = images_among(files, reader, notes)
    if not images:
        found = ", ".join(f"{len(names)} {reason}" for reason, names in notes.left_out.items()) or "it is empty"
        raise InputError(f"{path}: no images found ({found}); expected JPEG, PNG or DICOM files")
    heads = tables_beside.read_heads(files, reader, notes)
    like = recognise(images, [(head.file.name.rpartition("/")[2], head.columns) for head in heads])
    description = _recognised(path, like, options)
    classes = _classes(description, options)
    source, same = Source(str(path), kind, (), reader), partial(_same, reader)
    try:
        _check_options(description, like, options, notes)
        if description.tables:
            if any(table.anywhere for table in description.tables):
                copies = nested_copies(((file, ()) for file in images), same, notes)
                images = [file for file in images if file not in copies]
            uncertain = options.uncertain or description.uncertain
            indices = FileIndex(files), FileIndex(images)
            labelled = KnownTables(description, classes, uncertain, *indices, reader, notes).read_all()
            note_unlisted(images, labelled, notes)
            column = patient_column(description)
            return finish(source, reader, Found(labelled, description, classes, column, True), options, notes)
        labelled = read_folders(images, classes, same, notes)
        use = tables_beside.pass_as_source(path, kind)
        if not labelled:
            raise InputError(
                explain_no_classes(images, classes, *tables_beside.explain_tables(files, heads, classes, use))
            )
        tables_beside.warn_of_tables(heads, FileIndex(images), classes, use, notes)
        return finish(source, reader, Found(labelled, description, classes), options, notes)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error


def understand_table(path: Path, options: SourceOptions) -> Source:
    """Return the images that a CSV lists, and what was understood of them.

    A table of a known data set is read by its description, with the folder that it lies in as the source.

    Raises:
        InputError: something in the table is wrong; the message names the line.
    """
    reader = FolderReader(path.parent)
    text = decode_text(reader.read_name(path.name), str(path))
    source = Source(str(path), "csv", (), reader)
    notes = SurveyNotes()
    if described := _described(path, text, options):
        description, table = described
        classes, index = _classes(description, options), FileIndex(walk(path.parent))
        uncertain = options.uncertain or description.uncertain
        labelled = KnownTables(description, classes, uncertain, index, index, reader, notes).read(path.name, table)
        found = Found(labelled, description, classes, patient_column(description), True)
    else:
        classes = _classes(TABLE, options)
        _check_options(TABLE, (), options, notes)
        find, everywhere = file_on_disk(path.parent), partial(_below, path.parent)
        found = csv_table.read_table(text, str(path), find, everywhere, classes, notes)
    if not found.labelled and notes.left_out:
        reasons = ", ".join(f"{len(names):,} {reason}" for reason, names in notes.left_out.items())
        raise InputError(f"{path}: all images of its rows are left out ({reasons}); correct the columns that say so")
    if not found.labelled:
        raise InputError(f"{path}: no images found in its rows; expected lines of path,label,patient")
    try:
        return finish(source, reader, found, options, notes)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error


def _below(folder: Path) -> FileIndex:
    """Return the files below a folder; none if one of its folders cannot be listed, as this is no more than a help."""
    with suppress(ReadError):
        return FileIndex(walk(folder))
    return FileIndex(())


def _recognised(path: Path, found: Sequence[Description], options: SourceOptions) -> Description:
    """Return the description that the user names, or that one of the data sets that a folder looks like."""
    if options.layout:
        return choose_description(options.layout)
    if len(found) > 1:
        names = " or ".join(description.name for description in found)
        raise InputError(f"{path}: looks like several known data sets; say which with --layout {names}")
    return found[0] if found else FOLDERS


def _described(path: Path, text: str, options: SourceOptions) -> tuple[Description, TableDescription] | None:
    """Return the description of a table by its name and columns; None for a table of the user's own."""
    name = path.name
    columns, _ = read_rows(text[: tables_beside.HEADING_BYTES].partition("\n")[0], str(path))
    chosen = [choose_description(options.layout)] if options.layout else list(known_descriptions().values())
    for description in chosen:
        if table := description.table_of(name, columns):
            return description, table
    if options.layout and chosen[0] != FOLDERS:
        raise InputError(f"{name}: is no table of the layout {options.layout}; pass the folder, or leave --layout out")
    return None


def _classes(description: Description, options: SourceOptions) -> ClassWords:
    return ClassWords(options.negative or description.negative, options.positive or description.positive)


def _same(reader: NamedReader, one: File, other: File) -> bool:
    """Return whether two files of one name, size and checksum are equal; without a checksum, by their first bytes."""
    if one.checksum >= 0:
        return True
    return reader.read_name(one.name, COMPARED_BYTES) == reader.read_name(other.name, COMPARED_BYTES)


def _check_options(
    description: Description, like: Sequence[Description], options: SourceOptions, notes: SurveyNotes
) -> None:
    """Ask about a layout that nothing in a folder is like.

    Raises:
        InputError: there is nothing to which `--uncertain` applies.
    """
    if options.uncertain and not any(not table.label for table in description.tables):
        raise InputError(
            "--uncertain has no effect here, as only tables of known data sets with a column for each finding mark "
            "some as uncertain; leave it out"
        )
    known = description in known_descriptions().values() and not description.tables
    if options.layout and known and description not in like:
        notes.ask(
            f"nothing in it is named as {description.title} is; --yes reads it by that layout; else leave --layout out"
        )
