"""What tables and DICOM headers say of images besides label and patient, such as age, sex or device."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from pneumo_tfds.decode.dicom_file import read_dataset, standing_for, value_of
from pneumo_tfds.decode.headers import HEAD_BYTES, format_of
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.csv_text import Row, decode_text, read_rows
from pneumo_tfds.sources.file_index import FileIndex
from pneumo_tfds.sources.listing import File, is_hidden, walk
from pneumo_tfds.sources.reading import FolderReader
from pneumo_tfds.sources.table_columns import usual_names
from pneumo_tfds.sources.tables_beside import TABLE_SUFFIXES
from pneumo_tfds.sources.words import BLANK, plain_cell

KEYWORDS = {
    "age": "PatientAge",
    "sex": "PatientSex",
    "view": "ViewPosition",
    "device": "ManufacturerModelName",
    "manufacturer": "Manufacturer",
}
"""Elements of DICOM headers by short names; others are named by their keyword, such as `BodyPartExamined`."""

Said = dict[str, dict[str, tuple[str, str]]]
"""Image to the cells about it in one column: each by its form for comparison, with the cell and where it stands."""


def read_columns(source: Path, names: Sequence[str], wanted: Sequence[str]) -> dict[str, list[str]]:
    """Return for each wanted column its cell for each image, empty where it is not told.

    Columns are looked for in the source if it is a table, else in the tables of its folder, in any letter case; then in
    DICOM headers. A row is about an image if a cell of it is the image's path, or its name with or without suffix.

    Args:
        source: a table or a folder.
        names: of the images, relative to the folder.
        wanted: names of columns, or of DICOM elements.

    Raises:
        InputError: the source is a zip; neither knows a column, and the message names those that there are; or two
            tables, columns or rows say different things of an image.
    """
    if not (source.is_dir() or source.name.lower().endswith(TABLE_SUFFIXES)):
        raise InputError(f"--by {wanted[0]}: {source} is packed; unpack it, and pass the folder or its table")
    folder = source if source.is_dir() else source.parent
    tables = [file.name for file in walk(folder) if not is_hidden(file)] if source.is_dir() else [source.name]
    said: dict[str, Said] = {}
    known: dict[str, None] = {}
    unread = []
    for table in (name for name in tables if name.lower().endswith(TABLE_SUFFIXES)):
        try:
            columns, rows = read_rows(decode_text(FolderReader(folder).read_name(table), table), table)
        except InputError as error:
            if not source.is_dir():
                raise
            unread.append(str(error))  # a file of another kind, which is no part of the source
            continue
        known |= dict.fromkeys(filter(None, columns))
        mine = _rows_of(names, columns, [row for _, row in rows])
        for name, column in product(wanted, columns):
            if column.lower() == name.lower() and any(mine):
                _add(said.setdefault(name, {}), names, mine, column, table)
    found = _in_headers(folder, names, [name for name in wanted if name not in said])
    found |= {name: _agreed(name, names, cells) for name, cells in said.items()}
    for name in wanted:
        if not any(found.get(name, ())):
            there = f"has {', '.join(known)}" if known else "is none"
            there += f"; not read: {unread[0]}" if unread else ""
            raise InputError(f"--by {name}: no DICOM header of {source} says it, and the table {there}; leave it out")
    return {name: found[name] for name in wanted}


def _add(said: Said, names: Sequence[str], rows: Sequence[Sequence[Row]], column: str, table: str) -> None:
    """Add what the rows about each image have in a column; empty cells, NA and the like say nothing."""
    for name, mine in zip(names, rows, strict=True):
        for cell in (row.get(column, "") for row in mine):
            if (plain := plain_cell(cell)) and plain not in BLANK:
                said.setdefault(name, {}).setdefault(plain, (cell, f"{column} of {table}"))


def _agreed(wanted: str, names: Sequence[str], said: Said) -> list[str]:
    """Return the one cell that is said of each image, empty where none is.

    Raises:
        InputError: different ones are said of an image.
    """
    cells = [[*said.get(name, {}).values()] for name in names]
    disputed = [(name, told) for name, told in zip(names, cells, strict=True) if len(told) > 1]
    for name, ((one, here), (other, there), *_) in disputed:
        raise InputError(
            f"--by {wanted}: {here} says {one!r:.60} of {name}, and {there} says {other!r:.60}, and so for "
            f"{counted(len(disputed), 'image')}; correct or rename one of them, or pass the table that is right as "
            "--source"
        )
    return [told[0][0] if told else "" for told in cells]


def _rows_of(names: Sequence[str], columns: Sequence[str], rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows of each image by the column that names most of them; none for the others.

    Of columns that name equally many, that with a usual name is taken.
    """
    index = FileIndex(File(name, 0) for name in names)
    best: dict[str, list[Row]] = {}
    for column in [*usual_names("path", columns), *columns]:
        cells = ((row[column].replace("\\", "/"), row) for row in rows)
        named = ((index.ending(cell) or (index.of_stem(cell) if "/" not in cell else []), row) for cell, row in cells)
        mine: dict[str, list[Row]] = {}
        for found, row in named:
            if len(found) == 1:
                mine.setdefault(found[0].name, []).append(row)
        best = max(best, mine, key=len)
    return [best.get(name, []) for name in names]


def _in_headers(folder: Path, names: Sequence[str], wanted: Sequence[str]) -> dict[str, list[str]]:
    """Return what DICOM headers say; other files say nothing."""
    found: dict[str, list[str]] = {name: [] for name in wanted}
    reader = FolderReader(folder)
    for name in names if wanted else ():
        is_dicom = format_of(reader.read_name(name, HEAD_BYTES)) == "DICOM"
        said = _elements(reader.read_name(name), name, wanted) if is_dicom else [""] * len(wanted)
        for cells, cell in zip(found.values(), said, strict=True):
            cells.append(cell)
    return found


def _elements(data: bytes, name: str, wanted: Sequence[str]) -> list[str]:
    with standing_for(name, "the DICOM header is damaged; copy the file again or remove it"):
        dataset = read_dataset(data, name)
        return [str(value_of(dataset, KEYWORDS.get(column.lower(), column), "")).strip() for column in wanted]
