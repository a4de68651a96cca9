"""Labels in tables: what a cell means, and columns of 0 and 1 for each class."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.table_columns import roles_of
from pneumo_tfds.sources.words import composed, mark_of, set_of, words_of

_BINARY = {"0": LABELS[0], "1": LABELS[1]}
_WHOLE = re.compile(r"([0-9]+)(\.0*)?")
_NEGATED = set_of("kein keine keinen negative neg no non not ohne pas sans sem senza sin without")
_PNEUMONIA = re.compile("p?neumon[ií][ae]|polmonit|lungenentz")
_ICD_PNEUMONIA = re.compile(r"J1[2-8](\.[0-9]+)?", re.IGNORECASE)
_ICD_HEALTHY = re.compile(r"Z0[0-4](\.[0-9]+)?", re.IGNORECASE)
"""Codes of ICD-10 for pneumonia, and for examinations without a diagnosis."""
_HEALTHY = set_of("gesund healthy normal normale normali sain saine sana sano unauffällig unremarkable") | {
    "no finding", "no findings", "ohne befund", "o.b.", "sin hallazgos",
}  # fmt: skip


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


def class_told(text: str, classes: ClassWords) -> str:
    """Return the label that a diagnosis in words or a code of ICD-10 seems to mean; empty if neither."""
    if label := classes.label_of(text):
        return label
    words = words_of(text)
    if any(_PNEUMONIA.search(word) for word in (*words, *text.casefold().split())) or _ICD_PNEUMONIA.fullmatch(text):
        return LABELS[0] if not _NEGATED.isdisjoint(words) else LABELS[1]
    whole = composed(text).casefold()
    return LABELS[0] if whole in _HEALTHY or _ICD_HEALTHY.fullmatch(text) else ""
