"""Read the text of a CSV: its encoding, separator, columns and rows."""

from __future__ import annotations

import codecs
import csv
import io
import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.listing import IMAGE_SUFFIXES
from pneumo_tfds.sources.table_columns import ROLES, usual_names
from pneumo_tfds.sources.words import composed

Row = Mapping[str, str]

SEPARATORS = ",;\t|"

LOOKED_AT = 100
"""Lines by which the separator is found."""

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


def read_rows(text: str, where: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the columns of a table, and line number and cells of each row; empty rows are skipped.

    Commas, semicolons, tabs or `|` separate, whichever `_separator` finds. A column without a name is called by
    its place, such as `column 3`, and left out if it is empty.

    Raises:
        InputError: the text is no table, its first line does not name columns, a row has more cells than columns, or a
            quote swallows rows.
    """
    lines = _lines_of(text)
    skipped = 1 if lines and re.fullmatch(r"sep=.\s*", lines[0]) else 0  # written by Excel
    while lines[skipped:] and not lines[skipped].strip(f"{SEPARATORS} \r\n"):
        skipped += 1
    separator = _separator(lines[skipped:])
    reader = csv.DictReader(lines[skipped:], delimiter=separator, restval="", strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    start = skipped + 1
    try:
        named = [column.strip() for column in reader.fieldnames or ()]
        columns = [column or _by_place(place) for place, column in enumerate(named, 1)]
        _check_header(columns, where)
        reader.fieldnames = columns
        start = reader.line_num + skipped + 1
        for row in reader:
            line = reader.line_num + skipped
            start = line + 1
            more = row.pop(None, ())  # type: ignore[call-overload]  # cells behind the last column
            if any(cell.strip() for cell in more):
                raise InputError(
                    f"{where}, line {line}: has {counted(len(columns) + len(more), 'cell')}, but the first line names "
                    f"{counted(len(columns), 'column')}; if a title is above the header remove it, or quote the cell "
                    "that holds a separator"
                )
            cells = {column: cell.strip() for column, cell in row.items()}
            if any(cells.values()):
                rows.append((line, cells))
    except csv.Error as error:
        if "field limit" in str(error):
            raise InputError(
                f"{where}, line {start}: has a cell of more than {csv.field_size_limit():,} characters; a quote there "
                "may have no counterpart; else remove the column"
            ) from error
        raise InputError(
            f"{where}, line {start}: cannot be read as a CSV; check the quotes there: one may have no counterpart"
        ) from error
    _check_swallowed(rows, columns, separator, where)
    nameless = {_by_place(place) for place, column in enumerate(named, 1) if not column}
    for column in [column for column in nameless if not any(row[column] for _, row in rows)]:
        columns.remove(column)
        for _, row in rows:
            del row[column]
    return columns, rows


def read_head(text: str, where: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the columns and rows of a table of which the text is the beginning, without the line that it ends in.

    Raises:
        InputError: the first line does not name columns.
    """
    found = read_rows(text.partition("\n")[0], where)
    with suppress(InputError):  # a row or quotes that end behind the text
        found = read_rows(text.rpartition("\n")[0], where)
    return found


def _separator(lines: Sequence[str]) -> str:
    """Return the sign that divides the first line, a header, into most columns with usual names.

    Of signs that are alike in that, it is the one by which most rows have as many cells as the header; then the one
    that the header has most of. What is in quotes or brackets does not count.
    """
    first = re.sub(r'"[^"]*"|\([^()]*\)', "", lines[0]) if lines else ""
    found = [sign for sign in SEPARATORS if sign in first] or [SEPARATORS[0]]

    def fits(sign: str) -> tuple[int, int, int]:
        with suppress(csv.Error):
            header, *rows = csv.reader(lines[:LOOKED_AT], delimiter=sign)
            known = sum(map(len, (usual_names(role, header) for role in ROLES)))
            return known, sum(len(row) == len(header) for row in rows), first.count(sign)
        return 0, 0, first.count(sign)

    return max(found, key=fits) if len(found) > 1 else found[0]


def _by_place(place: int) -> str:
    return f"no. {place}"


def is_nameless(column: str) -> bool:
    """Return whether a column is called by its place."""
    return re.fullmatch(r"no\. [0-9]+", column) is not None


def _lines_of(text: str) -> list[str]:
    """Return the lines of a text with their ends, as of a file: U+2028, U+0085 and a vertical tab end none."""
    return list(io.StringIO(text, newline=""))


def _check_swallowed(
    rows: Sequence[tuple[int, Mapping[str, str]]], columns: Sequence[str], separator: str, where: str
) -> None:
    """Raise InputError if a quote without its counterpart has made a cell of lines that are rows."""
    known: dict[int, set[str]] = {}
    for line, row in rows:
        for cell in row.values():
            for inner in _lines_of(cell)[1:]:
                parts = [part.strip().strip('"') for part in inner.split(separator)]
                known = known or {
                    place: {other[column] for _, other in rows} - {""} for place, column in enumerate(columns)
                }
                alike = len(parts) == len(columns) and any(parts[place] in known[place] for place in known)
                if alike or any(map(names_image, parts)):
                    first = line - len(_lines_of(cell)) + 1
                    raise InputError(
                        f"{where}, line {first}: its quotes take whole rows into one cell, such as "
                        f"{inner.strip()[:60]!r}; correct the quotes"
                    )


def names_image(cell: str) -> bool:
    """Return whether a cell ends like the name of an image file."""
    return posixpath.splitext(cell)[1].lower() in IMAGE_SUFFIXES


def _check_header(columns: Sequence[str], where: str) -> None:
    for column in columns:
        if names_image(column):
            raise InputError(
                f"{where}: its first line is no header but holds {column!r}; write a line with the names of the "
                "columns above it, such as path,label"
            )
    if repeated := [column for column, count in Counter(columns).items() if count > 1]:
        raise InputError(f"{where}: has the column {repeated[0]!r} twice; keep one")


def decode_text(data: bytes, where: str, *, errors: str = "strict") -> str:
    """Return the bytes of a table as text: UTF-8, or UTF-16 with its byte order mark. `errors` is as of `bytes.decode`.

    Raises:
        InputError: it is something else.
    """
    if data.startswith(_WORKBOOKS):
        raise workbook(where)
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in data[:2]:
        raise InputError(f"{where}: is UTF-16 without a byte order mark; save it as UTF-8, as Excel does for CSV UTF-8")
    try:
        return composed(data.decode(encoding, errors))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{where}, line {line}: has a character that is not in UTF-8; save it as UTF-8, which Excel calls CSV UTF-8"
        ) from error


def workbook(where: str) -> InputError:
    """Return the error for a workbook in place of a CSV."""
    return InputError(f"{where}: is a workbook of Excel or the like; save its sheet as CSV (UTF-8) and pass that")
