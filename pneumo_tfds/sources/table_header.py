"""Choose which column of a table is what by its name; where names do not tell, say by the cells what to rename."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.column_kinds import FEW_VALUES, Column, is_split, may_be_patient, split_remedy
from pneumo_tfds.sources.csv_text import Row
from pneumo_tfds.sources.image_kinds import MOSTLY
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import IMAGE_SUFFIXES
from pneumo_tfds.sources.table_columns import SPLIT_FLAGS, roles_of
from pneumo_tfds.sources.table_labels import class_columns, class_told
from pneumo_tfds.sources.words import mark_of

LOOKED_AT = 1000
"""Rows by which a column is judged."""


def choose_columns(
    columns: Sequence[str], rows: Sequence[tuple[int, Row]], where: str, classes: ClassWords
) -> dict[str, str]:
    """Return role to column.

    Raises:
        InputError: a role that is needed has no column, or a role has two. The message says which columns to rename, by
            what their cells hold.
    """
    roles = roles_of(columns)
    judged = {name: Column(name, [row[name] for _, row in rows[:LOOKED_AT]]) for name in columns if name}
    for role in SPLIT_FLAGS:  # `train` may hold other things than 0 and 1
        flags = [name for name in roles[role] if name != "train" or None not in map(mark_of, judged[name].cells)]
        roles[role] = flags
    problems = [
        f"the columns {' and '.join(found)} could both be the {role}; rename one of them to {role}"
        for role, found in roles.items()
        if len(found) > 1
    ]
    missing = [role for role in ("path", "label") if not roles[role]]
    if roles["path"] and class_columns(columns, classes):
        missing = []
    if missing:
        found = ", ".join(filter(None, columns[:20])) or "nothing"
        problems.insert(0, f"needs a first line with the columns path,label[,patient][,split]; found {found}")
        if columns and not columns[-1]:
            problems.append("if line 1 is a title and no header, remove it")
        rest = [column for name, column in judged.items() if not any(name in named for named in roles.values())]
        problems += _renames(missing, roles, rest, classes)
    if problems:
        raise InputError(f"{where}: {'; '.join(problems)}")
    chosen = {role: found[0] for role, found in roles.items() if found}
    return {role: column for role, column in chosen.items() if role not in SPLIT_FLAGS or "split" not in chosen}


def _renames(
    missing: Sequence[str], roles: Mapping[str, Sequence[str]], rest: Sequence[Column], classes: ClassWords
) -> list[str]:
    """Return what to rename, by what the cells of columns that are nothing by their names hold."""
    told = []
    paths = [column for column in rest if _holds_images(column)] if "path" in missing else []
    if paths:
        told.append(f"rename {' or '.join(map(str, paths))} to path")
    elif "path" in missing:
        told.append(
            "no column holds names of image files; join the table with one that has them, by a column that is in both, "
            "such as an accession number, and name the files in a column path"
        )
    rest = [column for column in rest if column not in paths]
    labels = [column for column in rest if _means_classes(column, classes)] if "label" in missing else []
    if labels:
        told.append(f"rename {' or '.join(map(str, labels))} to label{_flags(labels[0], classes)}")
    elif "label" in missing:
        told.append("rename the column that holds the label to label")
    rest = [column for column in rest if column not in labels]
    splits = [] if any(roles[role] for role in ("split", *SPLIT_FLAGS)) else [*filter(is_split, rest)][:1]
    people = [] if roles["patient"] else [column for column in rest if column not in splits and may_be_patient(column)]
    told += [f"{column} may be the split: {split_remedy(column)}" for column in splits]
    return [*told, *(f"{column} may tell who is on an image: rename it to patient if so" for column in people[:1])]


def _holds_images(column: Column) -> bool:
    images = sum(posixpath.splitext(cell)[1].lower() in IMAGE_SUFFIXES for cell in column.cells)
    return images > 0 and images >= MOSTLY * column.counts.total()


def _means_classes(column: Column, classes: ClassWords) -> bool:
    """Return whether a column of a few values has one that names a class."""
    return len(column.counts) <= FEW_VALUES and any(class_told(cell, classes) for cell in column.counts)


def _flags(column: Column, classes: ClassWords) -> str:
    """Return the flags that name the classes of a column, where its words alone do not."""
    told = {label: [cell for cell in column.counts if class_told(cell, classes) == label] for label in LABELS}
    if all(any(map(classes.label_of, cells)) for cells in told.values()):
        return ""
    named = (" ".join(map(repr, cells)) or "NAME" for cells in told.values())
    return " and pass --negative {} --positive {}".format(*named)
