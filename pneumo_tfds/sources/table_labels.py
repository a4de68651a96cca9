"""Labels in tables: what a cell means, columns of 0 and 1 for each class, and columns that contradict the label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import Row
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.table_columns import roles_of, usual_names
from pneumo_tfds.sources.words import mark_of, set_of, words_of

_BINARY = {"0": LABELS[0], "1": LABELS[1]}
_WHOLE = re.compile(r"([0-9]+)(\.0*)?")
_NEGATED = set_of("no non not without")

Rows = Sequence[tuple[int, Row]]


def meaning_of(cell: str, classes: ClassWords) -> str:
    """Return the label that a cell means; empty if it means neither class."""
    label = classes.label_of(cell)
    number = _WHOLE.fullmatch(cell)
    if not label and number:
        label = classes.label_of(number[1])
        if not label and not any(_WHOLE.fullmatch(name) for name in (*classes.negative, *classes.positive)):
            label = _BINARY.get(number[1], "")
    return label


def class_columns(columns: Sequence[str], classes: ClassWords) -> list[str]:
    """Return the columns named like both classes, such as NORMAL and PNEUMONIA; none if there is a label."""
    named = {} if roles_of(columns)["label"] else {column: classes.label_of(column) for column in columns}
    return [column for column, label in named.items() if label] if set(LABELS) <= set(named.values()) else []


def with_label(
    columns: list[str], rows: list[tuple[int, dict[str, str]]], classes: ClassWords, notes: SurveyNotes
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return a table that has 0 and 1 in a column for each class with a column `label` in place of them.

    The label of a row is the name of the column that is marked; two names or `neither`, which are no label, if not one
    is.
    """
    named = class_columns(columns, classes)
    if not named:
        return columns, rows
    made = []
    for line, row in rows:
        label = " and ".join(column for column in named if mark_of(row[column]) == 1) or "neither"
        made.append((line, {**{column: cell for column, cell in row.items() if column not in named}, "label": label}))
    notes.tell(f"the label is which of the columns {' and '.join(named)} has 1")
    return [*(column for column in columns if column not in named), "label"], made


def ask_about_other_labels(rows: Rows, chosen: Mapping[str, str], classes: ClassWords, notes: SurveyNotes) -> None:
    """Ask about a column that contradicts the label: named like one or like a class, or with names of classes.

    A cell such as `healthy` or `viral pneumonia` counts as such a name only where the label is a number.
    """
    unmarked = replace(classes, met=set())
    label = chosen["label"]
    numeric = all(_WHOLE.fullmatch(row[label]) for _, row in rows)
    for column in [column for column in rows[0][1] if column not in chosen.values()] if rows else []:
        pairs = Counter((row[column], row[label]) for _, row in rows if row[column])
        means = {cell: _class_told(column, cell, unmarked, in_words=numeric) for cell, _ in pairs}
        telling = all(means.values()) or (numeric and LABELS[1] in means.values())
        named = usual_names("label", [column]) or unmarked.label_of(column)
        if not named and (not telling or any(map(_WHOLE.fullmatch, means))):
            continue
        differing = sum(n for (cell, own), n in pairs.items() if means[cell] not in ("", meaning_of(own, unmarked)))
        if differing:
            notes.ask(
                f"the columns {column} and {label} could both be the label and contradict each other in {differing:,} "
                f"of {counted(len(rows), 'row')}; --yes reads {label}; remove the other"
            )


def _class_told(column: str, cell: str, classes: ClassWords, *, in_words: bool) -> str:
    """Return the label that a cell of a column beside the label seems to mean; empty if none."""
    if of_column := classes.label_of(column):
        return of_column if mark_of(cell) == 1 else ""
    words, label = words_of(cell), meaning_of(cell, classes)
    if label or not in_words or not _NEGATED.isdisjoint(words):
        return label
    if any(word.startswith("pneumon") for word in words):
        return LABELS[1]
    return LABELS[0] if words == ("healthy",) else ""
