"""Understand a source: find the description that fits, read folders or tables by it, then patients and headers."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import csv_table, described_table, official_splits, tables_beside
from pneumo_tfds.sources.class_folders import patient_folders
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import decode_text, read_rows
from pneumo_tfds.sources.description import (
    FOLDERS,
    Description,
    TableDescription,
    choose_description,
    known_descriptions,
    recognise,
)
from pneumo_tfds.sources.header_facts import leave_out_unfit, read_headers
from pneumo_tfds.sources.identifiers import STUDY, hashed, identify, is_unknown, short_hash, study_uid, unknown
from pneumo_tfds.sources.inventory import Image, Source
from pneumo_tfds.sources.known_tables import KnownTables, note_unlisted, patient_column
from pneumo_tfds.sources.layout import explain_no_classes, read_folders
from pneumo_tfds.sources.listing import (
    File,
    FileIndex,
    Labelled,
    NamedReader,
    file_on_disk,
    images_among,
    walk,
)
from pneumo_tfds.sources.nested_copies import without_nested_copies
from pneumo_tfds.sources.patient_doubts import Told, warn_of_both_classes, warn_of_unknown
from pneumo_tfds.sources.patients import decide
from pneumo_tfds.sources.reading import FolderReader, ReadError
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.table_columns import lists_images, lists_people
from pneumo_tfds.sources.table_labels import class_columns
from pneumo_tfds.sources.words import composed

COMPARED_BYTES = 4096
"""First bytes by which two files of one name and size are compared."""

TABLE = Description("table", "a table of images")


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
    description = _description(path, files, images, heads, options)
    classes = _classes(description, options)
    source, same = Source(str(path), kind, (), reader), partial(_same, reader)
    try:
        _check_options(description, files, images, options, notes)
        if description.tables:
            if any(table.anywhere for table in description.tables):
                images = without_nested_copies(images, same, notes)
            uncertain = options.uncertain or description.uncertain
            indices = FileIndex(files), FileIndex(images)
            labelled = KnownTables(description, classes, uncertain, *indices, reader, notes).read_all()
            note_unlisted(images, labelled, notes)
            rule = patient_column(description)
            return _finish(source, reader, labelled, rule, description, classes, options, notes)
        labelled = read_folders(images, classes, same, notes)
        tables = [file for file, columns in heads if lists_images(columns) or class_columns(columns, classes)]
        if not labelled:
            tell = tables_beside.tell(tables, path, kind) if tables else ""
            raise InputError(explain_no_classes(images, classes, tell, tables_beside.tell_others(files, heads)))
        for table in tables:
            notes.warn(f"{tables_beside.tell([table], path, kind)}; it is not read now")
        for table, columns in heads:
            if lists_people(columns):
                notes.warn(
                    f"{table.name} tells patients or splits of images (its columns are {', '.join(columns[:8])}) and "
                    "is not read, as it has no labels; to use it, pass a CSV of path,label,patient,split as --source",
                    about_patients=True,
                )
        return _finish(source, reader, labelled, "", description, classes, options, notes)
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
        rule, has_split = patient_column(description), True
    else:
        description, classes = TABLE, _classes(TABLE, options)
        _check_options(description, (), (), options, notes)
        find, everywhere = file_on_disk(path.parent), partial(_below, path.parent)
        found = csv_table.read_table(text, str(path), find, everywhere, classes, notes)
        labelled, rule, has_split = list(found.images), f"column {found.patient}", found.has_split
    if not labelled and notes.left_out:
        reasons = ", ".join(f"{len(names):,} {reason}" for reason, names in notes.left_out.items())
        raise InputError(f"{path}: all images of its rows are left out ({reasons}); correct the columns that say so")
    if not labelled:
        raise InputError(f"{path}: no images found in its rows; expected lines of path,label,patient")
    try:
        return _finish(source, reader, labelled, rule, description, classes, options, notes, has_split=has_split)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error


def _below(folder: Path) -> FileIndex:
    """Return the files below a folder; none if one of its folders cannot be listed, as this is no more than a help."""
    with suppress(ReadError):
        return FileIndex(walk(folder))
    return FileIndex(())


def _description(
    path: Path, files: Sequence[File], images: Sequence[File], heads: tables_beside.Heads, options: SourceOptions
) -> Description:
    if options.layout:
        return choose_description(options.layout)
    found = recognise(files, images) or _recognise_tables(heads)
    if len(found) > 1:
        names = " or ".join(description.name for description in found)
        raise InputError(f"{path}: looks like several known data sets; say which with --layout {names}")
    return found[0] if found else FOLDERS


def _recognise_tables(heads: tables_beside.Heads) -> list[Description]:
    """Return the known data sets that only the columns of a table tell."""
    alone = [one for one in known_descriptions().values() if not one.recognised_by()]
    named = [(file.name.rpartition("/")[2], columns) for file, columns in heads]
    return [one for one in alone if any(_fitting(one, name, columns) for name, columns in named)]


def _fitting(description: Description, name: str, columns: Sequence[str]) -> TableDescription | None:
    tables = (table for table in description.tables if fnmatch.fnmatch(composed(name), table.file))
    return next((table for table in tables if described_table.fits(table, columns)), None)


def _described(path: Path, text: str, options: SourceOptions) -> tuple[Description, TableDescription] | None:
    """Return the description of a table by its name and columns; None for a table of the user's own."""
    name = path.name
    columns, _ = read_rows(text[: tables_beside.HEADING_BYTES].partition("\n")[0], str(path))
    chosen = [choose_description(options.layout)] if options.layout else list(known_descriptions().values())
    for description in chosen:
        if table := _fitting(description, name, columns):
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
    description: Description,
    files: Sequence[File],
    images: Sequence[File],
    options: SourceOptions,
    notes: SurveyNotes,
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
    if options.layout and known and description not in recognise(files, images):
        notes.ask(
            f"nothing in it is named as {description.title} is; --yes reads it by that layout; else leave --layout out"
        )


def _finish(
    source: Source,
    reader: NamedReader,
    labelled: Sequence[Labelled],
    rule: str,
    description: Description,
    classes: ClassWords,
    options: SourceOptions,
    notes: SurveyNotes,
    *,
    has_split: bool = True,
) -> Source:
    """Return the source with its images, after headers and patients were read, and with its survey.

    `rule` says which column tells the patients of a table; empty for folders. `has_split`: the splits of a table
    are its own and not those of folders.
    """
    from_table = bool(rule) or bool(description.tables)
    for name in classes.not_met((*options.negative, *options.positive)):
        notes.ask(f"no folder or label is named {name!r}; --yes goes on without it; check its spelling")
    files = [one.file for one in labelled]
    facts = read_headers(files, reader, Path(source.where), notes)
    unfit = leave_out_unfit(facts, {one.file.name: one.label for one in labelled}, notes)
    kept = {one.file.name: one for one in labelled if one.file.name not in unfit}
    images = [_image(one) for _, one in sorted(kept.items())]
    studies = {} if from_table else {name: uid for name, one in kept.items() if (uid := study_uid(one.patient))}
    if studies:
        notes.warn(
            f"{counted(len(set(studies.values())), 'folder')} have the identifier of a study, which is one examination "
            "and not a patient; images of one study are kept together, those of one patient perhaps not",
            about_patients=True,
        )
    told_by_row = {name: "" if name in studies else one.patient for name, one in kept.items()}
    listed = Told(rule or "folder", told_by_row, by_name=not from_table)
    header = Told("DICOM header", {name: one.patient for name, one in facts.items() if name in kept})
    by_folder = Told("folder", patient_folders(files) if from_table else {}, certain=False, by_name=True)
    examined = {name: hashed(one.study) for name, one in facts.items() if name in kept and one.study}
    joins = Told("StudyInstanceUID", examined, only_joins=True)
    told = [listed, header, by_folder, joins] if from_table else [header, listed, joins]
    images, rules = decide(images, told, notes)
    warn_of_both_classes(images, notes, from_table=from_table)
    warn_of_unknown(images, notes)
    images = _with_studies(images, studies | {name: one.study for name, one in facts.items() if one.study})
    images, validation = official_splits.settle(images, from_table and has_split, description, options, notes)
    parts = Counter((kept[image.name].where, image.label, image.official_split, rules[image.name]) for image in images)
    for text in description.notes:
        notes.tell(text)
    survey = notes.survey(description.name, description.title, parts)
    return replace(source, images=tuple(images), survey=survey, validation=validation)


def _image(one: Labelled) -> Image:
    file, subtype = one.file, identify(one.file.name, one.label)[1]
    if subtype == "unknown":
        subtype = one.subtype or subtype
    return Image(file.name, one.label, unknown(file.name), subtype, one.split, file.size, file.checksum)


def _with_studies(images: Sequence[Image], studies: Mapping[str, str]) -> list[Image]:
    """Return the images, those of unknown patients and of one study with one patient; `studies` gives their UIDs."""
    hashes = {name: short_hash(study) for name, study in studies.items()}
    return [
        replace(image, patient=f"{STUDY}{hashes[image.name]}")
        if is_unknown(image.patient) and image.name in hashes
        else image
        for image in images
    ]
