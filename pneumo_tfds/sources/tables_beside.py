"""Tables that lie beside the images of a source: what they may be for, and how they can be used."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.csv_text import decode_text, read_rows
from pneumo_tfds.sources.description import OWN_DESCRIPTION
from pneumo_tfds.sources.listing import WORKBOOK_SUFFIXES, File, NamedReader, is_hidden
from pneumo_tfds.sources.survey import SurveyNotes

TABLE_SUFFIXES = (".csv", ".tsv")

SHOWN = 8
"""Tables that a message lists."""

MAX_TABLES, HEADING_BYTES = 20, 4096
"""How many tables inside a folder are looked at, and how much of each."""

Heads = list[tuple[File, list[str]]]
"""Tables in a folder, each with its columns."""


def read_heads(files: Sequence[File], reader: NamedReader, notes: SurveyNotes) -> Heads:
    """Return the tables in a folder with their columns, those nearest to the top if there are many."""
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
            first = decode_text(reader.read_name(file.name, HEADING_BYTES), file.name, errors="replace")
            heads.append((file, read_rows(first.partition("\n")[0], file.name)[0]))
    return heads


def tell_others(files: Sequence[File], heads: Heads) -> str:
    """Return what can be done with tables whose columns are not understood, spreadsheets and compressed tables."""
    names = [file.name for file in files]
    books = [name for name in names if name.lower().endswith(WORKBOOK_SUFFIXES)]
    packed = [name for name in names if name.lower().endswith(tuple(f"{suffix}.gz" for suffix in TABLE_SUFFIXES))]
    told = [f"{name} is compressed: unpack it (gunzip) and start again" for name in packed[:1]]
    told += [
        f"{file.name} is a table (its columns are {', '.join(columns[:8])}): if it lists the images, name its columns "
        f"path, label and patient and pass it as --source, or describe it for --layout ({OWN_DESCRIPTION})"
        for file, columns in heads[:1]
    ]
    told += [f"{name} is a spreadsheet: if it lists the images, save it as CSV and pass that" for name in books[:1]]
    return "; ".join(told) and f"{'; '.join(told)}; else "


def tell(tables: Sequence[File], path: Path, kind: str) -> str:
    """Return how tables that list images, one or more, can be used."""
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables[:SHOWN]) + (" and others" if len(tables) > SHOWN else "")
        return (
            f"{names} list images with labels; to use them, join them in one CSV with a column split and pass that as "
            "--source, or pass one of them alone"
        )
    table = tables[0]
    use = "unpack the zip and pass this table as --source" if kind == "zip" else f"pass --source {path / table.name}"
    return f"{table.name} lists images with labels; to use it, {use}"
