"""Read the text of a CSV: its encoding, separator, columns and rows."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping

from pneumo_tfds.program.errors import InputError

Row = Mapping[str, str]


def read_rows(text: str, where: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the columns of a table, and line number and cells of each row. Commas, semicolons or tabs separate.

    Raises:
        InputError: the text is no table.
    """
    lines = text.splitlines(keepends=True)
    skipped = 1 if lines and re.fullmatch(r"sep=.\s*", lines[0]) else 0  # written by Excel
    first = lines[skipped] if lines[skipped:] else ""
    separator = max(",;\t", key=first.count)
    reader = csv.DictReader(lines[skipped:], delimiter=separator)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = columns
        rows = [
            (reader.line_num + skipped, {column: (cell or "").strip() for column, cell in row.items() if column})
            for row in reader
        ]
    except csv.Error as error:
        line = reader.line_num + skipped + 1
        raise InputError(f"{where}, line {line}: cannot be read as a CSV; check the quotes there") from error
    if repeated := [column for column, count in Counter(columns).items() if column and count > 1]:
        raise InputError(f"{where}: has the column {repeated[0]!r} twice; keep one")
    return columns, rows


def decode_text(data: bytes, where: str) -> str:
    """Return the bytes of a table as text.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: cannot be read as a UTF-8 CSV; save it as UTF-8") from error
