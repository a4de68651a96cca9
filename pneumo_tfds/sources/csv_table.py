"""Read tables of a user's own: a CSV that lists path and label, and perhaps patient, split and more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import read_rows
from pneumo_tfds.sources.described_table import Rules, read_described
from pneumo_tfds.sources.description import TableDescription
from pneumo_tfds.sources.image_kinds import warn_of_views
from pneumo_tfds.sources.layout_questions import ask_about_names
from pneumo_tfds.sources.listing import FileIndex, Find, Labelled
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.table_columns import has_split, tell_columns
from pneumo_tfds.sources.table_folders import ask_about_folders, take_folder_splits
from pneumo_tfds.sources.table_header import choose_columns
from pneumo_tfds.sources.table_labels import class_columns
from pneumo_tfds.sources.table_paths import find_all
from pneumo_tfds.sources.unread_columns import ask_about_unread


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
            twice, or a file does not exist. The message names all kinds of what is wrong, with the first line of each.
    """
    columns, rows = read_rows(text, where)
    chosen = choose_columns(columns, rows, where, classes)
    tell_columns(columns, chosen, notes)
    described = TableDescription(
        where,
        f"{{{chosen['path']}}}",
        chosen.get("label", ""),
        patient=f"{{{chosen['patient']}}}" if "patient" in chosen else "",
        split=chosen.get("split", ""),
    )
    look = find_all([row[chosen["path"]] for _, row in rows], find, everywhere, notes)
    read = read_described(columns, rows, where, Rules(described, classes, roles=chosen), look, notes)
    if marks := class_columns(columns, classes):
        notes.tell(f"the label is which of the columns {' and '.join(marks)} has 1")
        chosen |= {"label": " and ".join(marks), **{f"named {column}": column for column in marks}}
    _ask_about_empty(read.images, chosen, notes)
    if "view" in chosen:
        warn_of_views(chosen["view"], [row[chosen["view"]] for _, row in rows], notes)
    ask_about_unread(read.used, chosen, classes, notes)
    images = sorted(read.images, key=lambda one: one.file.name)
    ask_about_folders(images, classes, notes)
    ask_about_names(images, notes)
    if not has_split(chosen):
        images = take_folder_splits(images, notes)
    return Table(tuple(images), chosen.get("patient", ""), has_split(chosen))


def _ask_about_empty(images: list[Labelled], chosen: dict[str, str], notes: SurveyNotes) -> None:
    without = [one for one in images if not one.split]
    if has_split(chosen) and without and len(without) < len(images):
        notes.ask(
            f"{counted(len(without), 'row')} have no split, though others have one, the first for "
            f"{without[0].file.name}; --yes takes them for training"
        )
    held_out = sum(one.split == "test" for one in images)
    if "is_train" in chosen and not {"is_val", "is_test"} & chosen.keys() and held_out:
        notes.ask(
            f"the column {chosen['is_train']} says which images are for training and not what the other "
            f"{held_out:,} are for; --yes takes them for the test split; else write train, val and test into a column "
            "split"
        )
