"""Labels in tables: what a cell means, and columns of 0 and 1 for each class."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.table_columns import roles_of
from pneumo_tfds.sources.words import BLANK, composed, mark_of, set_of, words_of

_NEGATED = set_of("kein keine keinen negative neg no non not ohne pas sans sem senza sin without")
_PNEUMONIA = re.compile("p?neumon[ií][ae]|polmonit|lungenentz")
_ICD_PNEUMONIA = re.compile(r"J1[2-8](\.[0-9]+)?", re.IGNORECASE)
_ICD_HEALTHY = re.compile(r"Z0[0-4](\.[0-9]+)?", re.IGNORECASE)
"""Codes of ICD-10 for pneumonia, and for examinations without a diagnosis."""
_HEALTHY = set_of("gesund healthy normal normale normali sain saine sana sano unauffällig unremarkable") | {
    "no finding", "no findings", "ohne befund", "o.b.", "sin hallazgos",
}  # fmt: skip


def meaning_of(cell: str, classes: ClassWords) -> str:
    """Return the label that a cell means; empty if it means neither class.

    Where no name of a class is a mark itself, 1, true, yes and the like mean PNEUMONIA, and 0, false and no NORMAL.
    """
    label = classes.label_of(cell) or classes.label_of(re.sub(r"^([0-9]+)(\.0*)$", r"\1", cell))
    if label or any(map(_is_mark, (*classes.negative, *classes.positive))):
        return label
    return LABELS[mark_of(cell) or 0] if _is_mark(cell) else ""


def _is_mark(cell: str) -> bool:
    return cell.casefold() not in BLANK | {"", "x", "+"} and mark_of(cell) in (0, 1)


def class_columns(columns: Sequence[str], classes: ClassWords) -> list[str]:
    """Return the columns named like both classes, such as NORMAL and PNEUMONIA; none if there is a label."""
    named = {} if roles_of(columns)["label"] else {column: classes.label_of(column) for column in columns}
    return [column for column, label in named.items() if label] if set(LABELS) <= set(named.values()) else []


def class_told(text: str, classes: ClassWords) -> str:
    """Return the label that a diagnosis in words or a code of ICD-10 seems to mean; empty if neither."""
    if label := classes.label_of(text):
        return label
    words = words_of(text)
    if any(_PNEUMONIA.search(word) for word in (*words, *text.casefold().split())) or _ICD_PNEUMONIA.fullmatch(text):
        return LABELS[0] if not _NEGATED.isdisjoint(words) else LABELS[1]
    whole = composed(text).casefold()
    return LABELS[0] if whole in _HEALTHY or _ICD_HEALTHY.fullmatch(text) else ""
