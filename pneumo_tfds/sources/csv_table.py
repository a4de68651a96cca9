"""Read tables of images: a CSV that lists path and label, and perhaps patient, split and more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import Row, read_rows
from pneumo_tfds.sources.description import OWN_DESCRIPTION
from pneumo_tfds.sources.identifiers import normal_identifier
from pneumo_tfds.sources.image_kinds import unfit_row, warn_of_views
from pneumo_tfds.sources.inventory import SUBTYPES
from pneumo_tfds.sources.listing import FileIndex, Find, Labelled, is_printable
from pneumo_tfds.sources.survey import SurveyNotes, listed
from pneumo_tfds.sources.table_columns import SPLIT_FLAGS, choose_columns, has_split, tell_columns
from pneumo_tfds.sources.table_folders import ask_about_folders, take_folder_splits
from pneumo_tfds.sources.table_labels import meaning_of, with_label
from pneumo_tfds.sources.table_paths import find_all
from pneumo_tfds.sources.unread_columns import ask_about_unread
from pneumo_tfds.sources.words import mark_of, split_of

SHOWN = 8
"""Labels that a message lists."""


@dataclass(frozen=True)
class Table:
    """The images that a table lists."""

    images: tuple[Labelled, ...]
    patient: str = ""
    """The column of the patient; empty if there is none."""
    has_split: bool = False
    """Whether a column tells the split; otherwise folders may."""


def read_table(
    text: str, where: str, find: Find, everywhere: Callable[[], FileIndex], classes: ClassWords, notes: SurveyNotes
) -> Table:
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
            twice, or a file does not exist. The message names the line.
    """
    columns, rows = read_rows(text, where)
    columns, rows = with_label(columns, rows, classes, notes)
    chosen = choose_columns(columns, where)
    tell_columns(columns, chosen, notes)
    find = find_all([row[chosen["path"]] for _, row in rows], find, everywhere, notes)
    found: dict[str, Labelled] = {}
    used = []
    for line, row in rows:
        try:
            if one := _read_row(row, chosen, find, classes, notes):
                if one.file.name in found:
                    raise InputError(f"{one.file.name} is listed twice; keep one line")
                found[one.file.name] = one
                used.append((row, one))
        except UnknownLabelError as error:
            labels = Counter(row[chosen["label"]] or "empty" for _, row in rows)
            raise InputError(
                f"{where}, line {line}: {error}; the column {chosen['label']} holds {listed(labels, SHOWN, 'row')}; "
                "remove the rows of neither class, or describe the table for --layout, which leaves them out "
                f"({OWN_DESCRIPTION})"
            ) from error
        except InputError as error:
            raise InputError(f"{where}, line {line}: {error}") from error
    _ask_about_empty(found, chosen, where, notes)
    if "view" in chosen:
        warn_of_views(chosen["view"], [row[chosen["view"]] for _, row in rows], notes)
    ask_about_unread(used, chosen, classes, notes)
    images = sorted(found.values(), key=lambda one: one.file.name)
    ask_about_folders(images, classes, notes)
    if not has_split(chosen):
        images = take_folder_splits(images, notes)
    return Table(tuple(images), chosen.get("patient", ""), has_split(chosen))


class UnknownLabelError(InputError):
    """A label means neither class."""


def _read_row(row: Row, chosen: dict[str, str], find: Find, classes: ClassWords, notes: SurveyNotes) -> Labelled | None:
    cells = {role: row.get(column, "") for role, column in chosen.items()}
    name = cells["path"]
    if not is_printable(name + cells.get("patient", "")):
        raise InputError(f"has control characters in {name!r} or the patient; remove them")
    label = _label_of(cells["label"], classes)
    split = _split_of_row(cells, chosen)
    subtype = cells.get("subtype", "").lower()
    if subtype and subtype not in SUBTYPES:
        raise InputError(f"unknown subtype {subtype!r}; use one of {', '.join(SUBTYPES)}")
    file = find(name) if name else None
    if file is None:
        raise InputError(f"there is no file {name!r}; correct the path, which is relative to the table")
    if reason := unfit_row(cells):
        notes.leave_out(reason, file.name)
        return None
    return Labelled(
        file,
        label,
        split,
        normal_identifier(cells.get("patient", "")),
        subtype,
        f"{chosen['label']} = {cells['label']}",
    )


def _split_of_row(cells: Row, chosen: Mapping[str, str]) -> str:
    cell = cells.get("split", "")
    if cell and not split_of(cell):
        raise InputError(
            f"unknown split {cell!r} in the column {chosen['split']}; use train, val, test or nothing, or rename the "
            "column"
        )
    flags = {role: mark_of(cells[role]) for role in SPLIT_FLAGS if role in cells}
    if unknown := [role for role, flag in flags.items() if flag not in (0, 1)]:
        raise InputError(f"unknown value {cells[unknown[0]]!r} in the column {chosen[unknown[0]]}; use 0 or 1")
    named = [role for role, flag in flags.items() if flag]
    if len(named) > 1:
        raise InputError(f"the columns {' and '.join(chosen[role] for role in named)} name two splits; keep one")
    if named:
        return SPLIT_FLAGS[named[0]]
    return "train" if flags and "is_train" not in flags else split_of(cell)


def _label_of(cell: str, classes: ClassWords) -> str:
    if label := meaning_of(cell, classes):
        return label
    raise UnknownLabelError(
        f"unknown label {cell!r}; use NORMAL or PNEUMONIA, or name it with --positive or --negative"
    )


def _ask_about_empty(listed: Mapping[str, Labelled], chosen: dict[str, str], where: str, notes: SurveyNotes) -> None:
    without = [one for one in listed.values() if not one.split]
    if has_split(chosen) and without and len(without) < len(listed):
        notes.ask(
            f"{where}: {counted(len(without), 'row')} have no split, though others have one, the first for "
            f"{without[0].file.name}; --yes takes them for training"
        )
