"""Understand a source: find the description that fits, read folders or tables by it, then patients and headers."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import csv_table
from pneumo_tfds.sources.description import (
    Description,
    TableDescription,
    choose_description,
    known_descriptions,
    recognise,
)
from pneumo_tfds.sources.header_facts import leave_out_unfit, read_headers
from pneumo_tfds.sources.inventory import Image, Source
from pneumo_tfds.sources.layout import ClassWords, explain_no_classes, patient_folders, read_folders
from pneumo_tfds.sources.listing import File, FileIndex, Labelled, NamedReader, file_on_disk, images_among, walk
from pneumo_tfds.sources.patients import TEST_PATIENT, Told, decide, identify, is_unknown, unknown, warn_of_unknown
from pneumo_tfds.sources.reading import FolderReader
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.sources.survey import SurveyNotes

TABLE_SUFFIXES = (".csv", ".tsv")

MAX_TABLES, HEADING_BYTES = 20, 4096
"""How many tables inside a folder are looked at, and how much of each."""

FOLDERS = Description("folders", "folders named like the classes")
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
    description = _description(path, files, images, options)
    classes = _classes(description, options)
    try:
        if description.tables:
            labelled = _read_tables(path, description, classes, FileIndex(files), reader, options, notes)
            _note_unlisted(images, labelled, notes)
        else:
            labelled = read_folders(images, classes, notes)
            if not labelled:
                raise InputError(explain_no_classes(images, classes, _tables_among(path, files, reader)))
            for table in _tables_among(path, files, reader):
                notes.warn(f"{table} lists images with labels, and is not read; to use it, pass it as --source")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return _finish(Source(str(path), kind, (), reader), reader, labelled, description, options, notes)


def understand_table(path: Path, options: SourceOptions) -> Source:
    """Return the images that a CSV lists, and what was understood of them.

    A table of a known data set is read by its description, with the folder that it lies in as the source.

    Raises:
        InputError: something in the table is wrong; the message names the line.
    """
    reader = FolderReader(path.parent)
    text = csv_table.decode_text(reader.read_name(path.name), str(path))
    described = [choose_description(options.layout)] if options.layout else _descriptions_of_table(path.name)
    if any(description.tables for description in described):
        source = understand_files(path.parent, "csv", reader, list(walk(path.parent)), options)
        return replace(source, where=str(path))
    notes = SurveyNotes()
    labelled = csv_table.read_table(text, str(path), file_on_disk(path.parent), _classes(TABLE, options), notes)
    if not labelled:
        raise InputError(f"{path}: no images found, the table has no rows; expected lines of path,label,patient")
    return _finish(Source(str(path), "csv", (), reader), reader, labelled, TABLE, options, notes)


def _description(path: Path, files: Sequence[File], images: Sequence[File], options: SourceOptions) -> Description:
    if options.layout:
        return choose_description(options.layout)
    found = recognise(files, images)
    if len(found) > 1:
        names = " or ".join(description.name for description in found)
        raise InputError(f"{path}: looks like several known data sets; say which with --layout {names}")
    return found[0] if found else FOLDERS


def _descriptions_of_table(name: str) -> list[Description]:
    return [
        description
        for description in known_descriptions().values()
        if any(fnmatch.fnmatch(name, table.file) for table in description.tables)
        and any(fnmatch.fnmatch(name, pattern) for pattern in description.recognised_by_files)
    ]


def _classes(description: Description, options: SourceOptions) -> ClassWords:
    return ClassWords(options.negative or description.negative, options.positive or description.positive)


def _read_tables(
    path: Path,
    description: Description,
    classes: ClassWords,
    index: FileIndex,
    reader: NamedReader,
    options: SourceOptions,
    notes: SurveyNotes,
) -> list[Labelled]:
    """Return the images that the tables of a described data set list."""
    labelled: list[Labelled] = []
    for table in description.tables:
        found = index.named(table.file)
        if not found:
            notes.warn(f"there is no {table.file}; the images that it lists are left out")
            continue
        name = found[0].name
        text = csv_table.decode_text(reader.read_name(name), name)
        find = index.anywhere if table.anywhere else index.below(name.rpartition("/")[0])
        uncertain = options.uncertain or description.uncertain
        rows = csv_table.read_described(text, name, table, find, classes, uncertain, notes)
        labelled += _with_split_lists(rows, table, index, reader, notes)
    if not labelled:
        raise InputError(f"no image of layout {description.name} is labelled {classes.in_words()}")
    return labelled


def _with_split_lists(
    rows: list[Labelled], table: TableDescription, index: FileIndex, reader: NamedReader, notes: SurveyNotes
) -> list[Labelled]:
    """Return the images with the split that text files list them in; without such a file nothing is changed."""
    split_by_name: dict[str, str] = {}
    for split, pattern in table.lists.items():
        for file in index.named(pattern)[:1]:
            names = csv_table.read_split_list(csv_table.decode_text(reader.read_name(file.name), file.name))
            split_by_name.update(dict.fromkeys(names, split))
    if table.lists and not split_by_name:
        listed = " and ".join(table.lists.values())
        notes.warn(f"the official split is not there ({listed}); a test set is split off by patient")
    return [replace(one, split=split_by_name.get(one.file.name.rpartition("/")[2], one.split)) for one in rows]


def _note_unlisted(images: Sequence[File], labelled: Sequence[Labelled], notes: SurveyNotes) -> None:
    known = {one.file.name for one in labelled} | {name for names in notes.left_out.values() for name in names}
    for file in images:
        if file.name not in known:
            notes.leave_out("listed by no table", file.name)


def _tables_among(path: Path, files: Sequence[File], reader: NamedReader) -> list[str]:
    """Return the tables in a folder that list images with labels, as --source would name them."""
    tables = [file for file in files if file.name.lower().endswith(TABLE_SUFFIXES)][:MAX_TABLES]
    found = []
    for file in tables:
        first = reader.read_name(file.name, HEADING_BYTES).decode("utf-8-sig", errors="replace").partition("\n")[0]
        columns, _ = csv_table.read_rows(first, file.name)
        if csv_table.lists_images(columns):
            found.append(f"{path / file.name} ({', '.join(columns[:8])})")
    return found


def _finish(
    source: Source,
    reader: NamedReader,
    labelled: Sequence[Labelled],
    description: Description,
    options: SourceOptions,
    notes: SurveyNotes,
) -> Source:
    """Return the source with its images, after headers and patients were read, and with its survey."""
    files = [one.file for one in labelled]
    facts = read_headers(files, reader, Path(source.where))
    unfit = leave_out_unfit(facts, notes)
    kept = {one.file.name: one for one in labelled if one.file.name not in unfit}
    images = [_image(one) for _, one in sorted(kept.items())]
    by_header = {name: facts[name].patient for name in kept if name in facts}
    by_rule = {name: f"{one.patient}" for name, one in kept.items() if one.patient}
    by_folder = patient_folders(files) if description.tables or source.kind == "csv" else {}
    rule = "column of the patient" if description.tables or source.kind == "csv" else "folder"
    told = [Told("DICOM header", by_header), Told(rule, by_rule), Told("folder", by_folder)]
    images, rules = decide(images, told, notes)
    images = _with_test_patients(images, description, options, notes)
    warn_of_unknown(images, notes)
    parts = Counter((kept[image.name].where, image.label, image.official_split, rules[image.name]) for image in images)
    given = description.validation == "given" and any(image.official_split for image in images)
    if given:  # of those without a split the user was asked
        images = [replace(image, official_split=image.official_split or "train") for image in images]
    return replace(
        source,
        images=tuple(images),
        survey=notes.survey(description.name, description.title, parts),
        validation="given" if given else "redrawn",
    )


def _image(one: Labelled) -> Image:
    file, subtype = one.file, identify(one.file.name, one.label)[1]
    if subtype == "unknown":
        subtype = one.subtype or subtype
    return Image(file.name, one.label, unknown(file.name), subtype, one.split, file.size, file.checksum)


def _with_test_patients(
    images: Sequence[Image], description: Description, options: SourceOptions, notes: SurveyNotes
) -> list[Image]:
    """Return the images with the patients of the test folder set apart, if the same numbers are other people there."""
    testing = {image.patient for image in images if image.official_split == "test" and not is_unknown(image.patient)}
    both = testing & {image.patient for image in images if image.official_split != "test"}
    apart = description.test_patients == "apart"
    if both and not apart:
        notes.ask(
            f"{counted(len(both), 'patient')} of the test split, such as {min(both)}, have images outside it; --yes "
            "takes them for other people whose numbers begin again; else move all images of a patient to one side"
        )
        apart = options.yes
    if not apart:
        return list(images)
    return [
        replace(image, patient=f"{TEST_PATIENT}{image.patient}") if image.official_split == "test" else image
        for image in images
    ]
