"""Read tables of a user's own: a CSV that lists path and label, and perhaps patient, split and more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import filterfalse
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import quoted
from pneumo_tfds.sources.classes import ClassWords, class_told, flags_for
from pneumo_tfds.sources.column_kinds import FEW_VALUES, Column, class_of_flag, is_split, may_be_patient, split_remedy
from pneumo_tfds.sources.csv_text import Row, is_nameless, names_image, read_rows
from pneumo_tfds.sources.described_table import Rules, read_described
from pneumo_tfds.sources.description import TABLE, Found, TableDescription
from pneumo_tfds.sources.file_index import FileIndex
from pneumo_tfds.sources.image_kinds import MOSTLY, warn_of_views
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import File, Find
from pneumo_tfds.sources.merged_cells import ask_about_cells
from pneumo_tfds.sources.normal_images import ask_about_normal_images
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.table_columns import SPLIT_FLAGS, class_columns, roles_of, tell_columns
from pneumo_tfds.sources.table_paths import compare_with_paths, find_all, leave_out_unlisted
from pneumo_tfds.sources.unread_columns import ask_about_unread
from pneumo_tfds.sources.words import mark_of, split_of

LOOKED_AT = 1000
"""Rows by which a column is judged."""


def read_table(
    text: str, where: str, find: Find, everywhere: Callable[[], FileIndex], classes: ClassWords, notes: SurveyNotes
) -> Found:
    """Read a table whose columns have usual names.

    Args:
        text: the CSV.
        where: its path, for messages.
        find: returns the file of a path in it, or None if there is none.
        everywhere: returns the files in all folders below the table; called if one is not found.
        classes: the words for the classes; `0` and `1` are understood too, unless words are given that are digits.
        notes: what is left out or doubtful is added here.

    Raises:
        InputError: a column is missing or could be two things, a label, subtype or split is unknown, a path is listed
            twice, or a file does not exist. The message names all kinds of what is wrong, with the first line of each.
    """
    columns, rows = read_rows(text, where)
    chosen = _choose_columns(columns, rows, where, classes, everywhere)
    marks = class_columns(columns, classes)
    tell_columns(columns, chosen | ({"label": " and ".join(marks)} if marks else {}), marks, notes)
    described = TableDescription(
        where,
        f"{{{chosen['path']}}}",
        chosen.get("label", ""),
        patient=f"{{{chosen['patient']}}}" if "patient" in chosen else "",
        split=chosen.get("split", ""),
    )
    ask_about_cells(rows, chosen, notes)
    paths = [row[chosen["path"]] for _, row in rows]
    look = find_all(paths, find, everywhere, notes)
    read = read_described(columns, rows, where, Rules(described, classes, roles=chosen), look, notes)
    leave_out_unlisted((file.name for path in paths if (file := look(path))), Path(where).parent, notes)
    if marks:
        notes.tell(f"the label is which of the columns {' and '.join(marks)} has 1")
        chosen |= {"label": " and ".join(marks), **{f"named {column}": column for column in marks}}
    held_out = sum(one.split == "test" for one in read.images)
    if "is_train" in chosen and not {"is_val", "is_test"} & chosen.keys() and held_out:
        notes.ask(
            f"the column {chosen['is_train']} says which images are for training and not what the other "
            f"{held_out:,} are for; --yes takes them for the test split; else write train, val and test into a column "
            "split"
        )
    if "view" in chosen:
        warn_of_views(chosen["view"], [row[chosen["view"]] for _, row in rows], notes)
    ask_about_unread(read.used, chosen, classes, notes)
    ask_about_normal_images(read.used, classes, notes)
    has_split = not chosen.keys().isdisjoint({"split", *SPLIT_FLAGS})
    images = compare_with_paths(read.images, classes, notes, has_split=has_split)
    return Found(images, TABLE, classes, f"column {chosen.get('patient', '')}")


def _choose_columns(
    columns: Sequence[str],
    rows: Sequence[tuple[int, Row]],
    where: str,
    classes: ClassWords,
    everywhere: Callable[[], FileIndex],
) -> dict[str, str]:
    """Return role to column.

    Raises:
        InputError: a role that is needed has no column, or a role has two. The message says which columns to rename, by
            what their cells hold.
    """
    roles = roles_of(columns)
    judged = {name: Column(name, [row[name] for _, row in rows[:LOOKED_AT]]) for name in columns}
    for role in SPLIT_FLAGS:  # `test` may be one of the blood, and is believed beside `train` alone
        plain = {name for name in roles[role] if split_of(name)}
        no_flags = {name for name in plain if None in map(mark_of, judged[name].cells)}
        roles[role] = [name for name in roles[role] if name not in (no_flags if roles["is_train"] else plain)]
    problems = [
        f"the columns {' and '.join(found)} could both be the {role}; rename one of them to {role}"
        for role, found in roles.items()
        if len(found) > 1
    ]
    missing = [role for role in ("path", "label") if not roles[role]]
    if roles["path"] and class_columns(columns, classes):
        missing = []
    if missing:
        found = ", ".join(filterfalse(is_nameless, columns[:20])) or "nothing"
        problems.insert(0, f"needs a first line with the columns path,label[,patient][,split]; found {found}")
        if columns and is_nameless(columns[-1]):
            problems.append("if line 1 is a title and no header, remove it")
        problems += _renames(missing, roles, [*judged.values()], classes, everywhere)
    if problems:
        raise InputError(f"{where}: {'; '.join(problems)}")
    chosen = {role: found[0] for role, found in roles.items() if found}
    return {role: column for role, column in chosen.items() if role not in SPLIT_FLAGS or "split" not in chosen}


def _renames(
    missing: Sequence[str],
    roles: Mapping[str, Sequence[str]],
    columns: Sequence[Column],
    classes: ClassWords,
    everywhere: Callable[[], FileIndex],
) -> list[str]:
    """Return what to rename, by what the cells of columns that are nothing by their names hold.

    Any column may name the files by their stems, as `patientId` of RSNA does.
    """
    told = []
    rest = [column for column in columns if not any(column.name in named for named in roles.values())]
    paths = [column for column in rest if _holds_images(column)] if "path" in missing else []
    if paths:
        told.append(f"rename {' or '.join(map(str, paths))} to path")
    elif "path" in missing and (named := _named_without_suffix(columns, everywhere())):
        paths, first = [column for column, _ in named], named[0][1]
        suffix = ", and write the suffix of the files into its cells" if names_image(first.name) else ""
        told.append(f"rename {' or '.join(map(str, paths))} to path{suffix}: the first of them is that of {first.name}")
    elif "path" in missing:
        told.append(
            "no column holds names of image files; join the table with one that has them, by a column that is in both, "
            "such as an accession number, and name the files in a column path"
        )
    rest = [column for column in rest if column not in paths]
    few = [column for column in rest if len(column.counts) <= FEW_VALUES] if "label" in missing else []
    labels = [column for column in few if any(class_told(cell, classes) for cell in column.counts)]
    if labels:
        cells = labels[0].counts
        plain = {classes.label_of(cell) for cell in cells} >= set(LABELS)
        flags = "" if plain else f" and pass {flags_for(cells, classes)}"
        told.append(f"rename {' or '.join(map(str, labels))} to label{flags}")
    elif "label" in missing:
        told.append(_label_of_flags(rest, classes))
    rest = [column for column in rest if column not in labels]
    splits = [] if any(roles[role] for role in ("split", *SPLIT_FLAGS)) else [*filter(is_split, rest)][:1]
    people = [] if roles["patient"] else [column for column in rest if column not in splits and may_be_patient(column)]
    told += [f"{column} may be the split: {split_remedy(column)}" for column in splits]
    return [*told, *(f"{column} may tell who is on an image: rename it to patient if so" for column in people[:1])]


def _label_of_flags(rest: Sequence[Column], classes: ClassWords) -> str:
    """Return how columns of 0 and 1 that are named for a class become the label: 1 may mean the negative one."""
    marks = [column for column in reversed(rest) if column.counts and None not in map(mark_of, column.counts)]
    first = {class_of_flag(column, classes): column for column in marks}
    if set(LABELS) <= set(first):
        negative, positive = (first[label].name for label in LABELS)
        return f"if {negative} and {positive} mark the classes, pass {_flags(negative, positive)}"
    if column := first.get(LABELS[0]):
        cells = {mark_of(cell): cell for cell in column.counts}
        flags = _flags(cells.get(1, "1"), cells.get(0, "0"))
        return f"{column} marks the negative class: if the others show pneumonia, rename it to label and pass {flags}"
    if column := first.get(LABELS[1]):
        return f"{column} marks {LABELS[1]}: if the others are {LABELS[0]}, rename it to label"
    return f"rename the column that holds the label to label, in which 1 means {LABELS[1]}"


def _flags(negative: str, positive: str) -> str:
    return f"--negative {quoted(negative)} --positive {quoted(positive)}"


def _named_without_suffix(columns: Sequence[Column], images: FileIndex) -> list[tuple[Column, File]]:
    """Return the columns whose cells name a file each, by its name without suffix, with the first file.

    Numbers that repeat, such as ages, name none.
    """
    found = []
    for column in columns:
        repeat = column.counts.total() > len(column.counts)
        if column.counts and not (repeat and any(map(str.isdecimal, column.counts))):
            files = [images.of_stem(cell) for cell in column.counts]
            if sum(len(alike) == 1 for alike in files) >= MOSTLY * len(files):
                found.append((column, next(alike[0] for alike in files if alike)))
    return found


def _holds_images(column: Column) -> bool:
    images = sum(map(names_image, column.cells))
    return images > 0 and images >= MOSTLY * column.counts.total()
