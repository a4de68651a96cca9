"""What columns of paths and names of images tell that are not read: who is on an image, and which is made of which."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pneumo_tfds.sources.column_kinds import Column
from pneumo_tfds.sources.csv_text import Row, names_image
from pneumo_tfds.sources.image_kinds import MOSTLY
from pneumo_tfds.sources.listing import Labelled, without_suffix

_PATH = re.compile(r"(?=.*[^\W\d_])(?!.*://|10\.[0-9]+/).+/.+")
"""A cell with folders and a letter, such as `p7/s3`; a pressure of `120/80`, an address and a DOI are none."""


def columns_in(column: Column) -> list[Column]:
    """Return a column and, if it holds paths or names of images, those that their stems and each folder make."""
    paths = [cell.replace("\\", "/") for cell in column.cells]
    alike = sum(_PATH.fullmatch(path) is not None or (names_image(path) and "/" not in path) for path in paths if path)
    if not alike or alike < MOSTLY * sum(map(bool, paths)):
        return [column]
    parts = [without_suffix(path).split("/") for path in paths]
    places = range(-min(3, max(map(len, parts))), 0)  # the stem and the two folders around it
    return [column, *(Column(column.name, [part[at] if -at <= len(part) else "" for part in parts]) for at in places)]


def links(column: Column, used: Sequence[tuple[Row, Labelled]]) -> list[tuple[str, str]]:
    """Return the images whose cell names that of another row, of no patient that is read for both, and that image."""
    if not any(map(names_image, column.counts)):
        return []
    by_name = {one.file.name.rpartition("/")[2]: one for _, one in used}
    found = []
    for cell, (_, one) in zip(column.cells, used, strict=True):
        other = by_name.get(cell.replace("\\", "/").rpartition("/")[2])
        if other and other.file != one.file and not one.patient == other.patient != "":
            found.append((one.file.name, other.file.name))
    return found
