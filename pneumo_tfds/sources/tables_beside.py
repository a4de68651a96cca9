"""Tables that lie beside the images of a source: what they may be for, and how they can be used."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import agreeing, quoted
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import decode_text, is_nameless, names_image, read_head
from pneumo_tfds.sources.description import OWN_DESCRIPTION
from pneumo_tfds.sources.file_index import FileIndex
from pneumo_tfds.sources.image_kinds import MOSTLY
from pneumo_tfds.sources.listing import WORKBOOK_SUFFIXES, File, NamedReader, is_hidden
from pneumo_tfds.sources.survey import SHOWN, SurveyNotes
from pneumo_tfds.sources.table_columns import class_columns, lists_images, roles_of

TABLE_SUFFIXES = (".csv", ".tsv")

LIST_SUFFIXES = (".txt", ".lst", ".list", ".json", ".jsonl")

MAX_TABLES, HEADING_BYTES = 20, 4096
"""How many tables inside a folder are looked at, and as many lists, and how much of each."""

LEAST_NAMED = 0.25
"""Share of the lines of a text, or of the strings of JSON, that name images if it is a list of some."""


@dataclass(frozen=True)
class Head:
    """The first rows of a table."""

    file: File
    columns: Sequence[str]
    cells: Sequence[Sequence[str]]
    """Of each column."""

    def lists_labels(self, classes: ClassWords) -> bool:
        """Return whether its columns are called so that it can be read as a source."""
        return lists_images(self.columns) or bool(class_columns(self.columns, classes))

    def names_images(self, images: FileIndex) -> bool:
        """Return whether nearly all cells of a column name images, by their file name with or without suffix."""
        known = ([bool(images.of_stem(cell)) for cell in cells if cell] for cells in self.cells)
        return any(found and sum(found) >= MOSTLY * len(found) for found in known)

    def __str__(self) -> str:
        more = ", ..." if len(self.columns) > SHOWN else ""
        return f"{self.file.name} (its columns are {', '.join(self.columns[:SHOWN])}{more})"


def read_heads(files: Sequence[File], reader: NamedReader, notes: SurveyNotes) -> list[Head]:
    """Return the tables in a folder, those nearest to the top if there are many."""
    tables = [file for file in files if file.name.lower().endswith(TABLE_SUFFIXES) and not is_hidden(file)]
    tables.sort(key=lambda file: (len(file.folders), file.name))
    if len(tables) > MAX_TABLES:
        notes.warn(
            f"only {MAX_TABLES} of {len(tables):,} tables were looked at, those nearest to the top; if another one, "
            f"such as {tables[MAX_TABLES].name}, lists the images, pass it as --source"
        )
    heads = []
    for file in tables[:MAX_TABLES]:
        with suppress(InputError):  # a file of another kind, which is no part of the source
            text = decode_text(reader.read_name(file.name, HEADING_BYTES), file.name, errors="replace")
            columns, rows = read_head(text, file.name)
            heads.append(Head(file, columns, [[row[name] for _, row in rows] for name in columns]))
    return heads


def warn_of_tables(
    heads: Sequence[Head], images: FileIndex, classes: ClassWords, use: Callable[[File], str], notes: SurveyNotes
) -> None:
    """Warn of tables that lie in folders of classes and say something of the images, as they are not read."""
    for head in heads:
        roles = roles_of(head.columns)
        if head.lists_labels(classes):
            notes.warn(f"{head.file.name} lists images with labels; to use it, {use(head.file)}; it is not read now")
        elif (roles["path"] and (roles["patient"] or roles["split"])) or head.names_images(images):
            notes.warn_about_patients(
                f"{head} tells something of the images and is not read; if it has labels, patients or splits, name its "
                "columns path, label, patient and split, and pass it as --source"
            )


def warn_of_lists(files: Sequence[File], images: FileIndex, reader: NamedReader, notes: SurveyNotes) -> None:
    """Warn of text files and JSON in a folder that name images, for a split or to exclude some, as they are not read.

    Those nearest to the top are looked at.
    """
    lists = [file for file in files if file.name.lower().endswith(LIST_SUFFIXES) and file.size and not is_hidden(file)]
    lists.sort(key=lambda file: (len(file.folders), file.name))
    if len(lists) > MAX_TABLES:
        notes.tell(f"only {MAX_TABLES} of {len(lists):,} text files were searched for names of images")
    naming = []
    for file in lists[:MAX_TABLES]:
        with suppress(InputError):  # no text
            text = decode_text(reader.read_name(file.name, HEADING_BYTES), file.name, errors="replace")
            entries = _entries(text, is_json=".json" in file.name.lower())
            named = [entry for entry in entries if any(map(images.of_stem, entry))]
            numbers = {entry[0] for entry in named if entry[0].isdecimal()}
            if len(numbers) < LEAST_NAMED * len(images):  # of classes, or of a list in prose
                named = [entry for entry in named if entry[0] not in numbers]
            if named and len(named) >= LEAST_NAMED * len(entries):
                naming.append(file.name)
    if naming:
        more = " and others" if len(naming) > SHOWN else ""
        notes.warn(
            f"{', '.join(naming[:SHOWN])}{more} {agreeing(len(naming), 'names', 'name')} images and "
            f"{agreeing(len(naming), 'is', 'are')} not read; if a split or images to leave out are listed there, "
            "remove these images, put the splits into folders, or pass a CSV of path,label,patient,split as --source"
        )


def _entries(text: str, *, is_json: bool) -> list[list[str]]:
    """Return for each line of a text, or each string of JSON that is no key, what may be the name of an image."""
    if is_json:
        strings = re.findall(r'"([^"\n]*)"\s*(:?)', text)
        return [[string] if names_image(string) else [] for string, colon in strings if not colon]
    lines = filter(None, map(str.strip, text.splitlines()))
    return [[line, *filter(names_image, re.split(r"[\s,;|]+", line))] for line in lines]


def pass_as_source(path: Path, kind: str) -> Callable[[File], str]:
    """Return a function that tells how a table in a source is passed."""
    if kind == "zip":
        return lambda file: "unpack the zip and pass this table as --source"
    return lambda file: f"pass --source {quoted(path / file.name)}"


def explain_tables(
    files: Sequence[File], heads: Sequence[Head], classes: ClassWords, use: Callable[[File], str]
) -> tuple[str, str]:
    """Return how tables that list images can be used, and what can be done with others; empty where there are none."""
    tables = [head.file for head in heads if head.lists_labels(classes)]
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables[:SHOWN]) + (" and others" if len(tables) > SHOWN else "")
        alike = len({frozenset(head.columns) for head in heads if head.file in tables}) == 1
        how = "write their rows below one another in" if alike else "join them in"
        return (
            f"{names} list images with labels; to use them, {how} one CSV with a column split and pass that as "
            "--source, or pass one of them alone"
        ), ""
    if tables:
        return f"{tables[0].name} lists images with labels; to use it, {use(tables[0])}", ""
    all_names = [file.name for file in files]
    books = [name for name in all_names if name.lower().endswith(WORKBOOK_SUFFIXES)]
    packed = [name for name in all_names if name.lower().endswith(tuple(f"{suffix}.gz" for suffix in TABLE_SUFFIXES))]
    told = [f"{name} is compressed: unpack it (gunzip) and start again" for name in packed[:1]]
    shared = [
        (one, other, column)
        for one, other in combinations(heads, 2)
        for column in one.columns
        if column in other.columns and not is_nameless(column)
    ]
    for one, other, column in shared[:1]:
        alike = set(one.columns) == set(other.columns)  # joined by a number, those of one would be mixed with others
        how = "write the rows of both below one another in" if alike else "join them by it to"
        told.append(
            f"{one} and {other} both have {'these columns' if alike else f'the column {column}'}: {how} one CSV of "
            f"path,label,patient{',split' if alike else ''} and pass that as --source"
        )
    told += [
        f"{head} is a table: if it lists the images, name its columns path, label and patient and pass it as --source, "
        f"or describe it for --layout ({OWN_DESCRIPTION})"
        for head in heads[: 0 if shared else 1]
    ]
    told += [f"{name} is a spreadsheet: if it lists the images, save it as CSV and pass that" for name in books[:1]]
    return "", "; ".join(told) and f"{'; '.join(told)}; else "
