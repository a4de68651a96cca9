"""Names of the two classes in folders and tables, and what other cells and texts mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import quoted
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.survey import SHOWN
from pneumo_tfds.sources.words import (
    BLANK,
    UNKNOWN,
    are_of_one_pair,
    composed,
    mark_of,
    plain_cell,
    plain_name,
    set_of,
    subtype_of,
    whole_words,
    words_for,
    words_of,
)

_NEGATED = words_for("negated")
_PNEUMONIA = re.compile("p?neumon[ií][ae]|polmonit|lungenentz")
_PNEUMONIA_ITSELF = re.compile(
    "(broncho|bronco)?(pneumonia[es]?|pneumonien?|neumon[ií]as?|polmonit[ei])|lungenentzündung(en)?"
)
_KINDS_OF_PNEUMONIA = words_for("kinds_of_pneumonia")
_ICD_PNEUMONIA = re.compile(r"J1[2-8](\.[0-9]+)?", re.IGNORECASE)
_ICD_HEALTHY = re.compile(r"Z0[0-4](\.[0-9]+)?", re.IGNORECASE)
"""Codes of ICD-10 for pneumonia, and for examinations without a diagnosis."""
_HEALTHY = set_of("gesund healthy normal normale normali sain saine sana sano unauffällig unremarkable") | {
    "no finding", "no findings", "ohne befund", "o.b.", "sin hallazgos",
}  # fmt: skip

LEAST_LETTERS = 5
"""Letters from which on a word in the name of a file is taken for a class; `N`, `Sana` and the like are names too."""


@dataclass(frozen=True)
class ClassWords:
    """Names that mean a class; compared without letter case, and `_`, `-`, `.` and space are alike."""

    negative: tuple[str, ...] = ("NORMAL",)
    positive: tuple[str, ...] = ("PNEUMONIA",)
    met: set[str] = field(default_factory=set, compare=False)
    """The names that were asked for and have a meaning, as `plain_name` gives them."""

    def __post_init__(self) -> None:
        if empty := [name for name in (*self.negative, *self.positive) if not plain_name(name)]:
            raise InputError(f"{empty[0]!r} cannot be the name of a class; give letters or digits")
        both = {plain_name(name) for name in self.negative} & {plain_name(name) for name in self.positive}
        if both:
            raise InputError(
                f"{min(both)!r} is a name of both classes: --negative is {' '.join(map(quoted, self.negative))} and "
                f"--positive is {' '.join(map(quoted, self.positive))}; give both flags, and each name to one of them"
            )

    def label_of(self, name: str) -> str:
        """Return `NORMAL` or `PNEUMONIA` if the name means one of them; else empty."""
        plain = plain_name(name)
        for label, names in zip(LABELS, (self.negative, self.positive), strict=True):
            if plain in map(plain_name, names):
                self.met.add(plain)
                return label
        return ""

    def in_words(self, between: str = "and") -> str:
        """Return the two groups of names for a message."""
        return f"{' or '.join(self.negative)} {between} {' or '.join(self.positive)}"


def meanings_of(cells: Iterable[str], classes: ClassWords) -> dict[str, str]:
    """Return the label that each different cell of a label column means; empty for those that mean neither class.

    0, false, no and the like mean NORMAL, and 1, true and yes PNEUMONIA, where no name of a class is such a mark itself
    and all cells are of one pair of marks, but for empty ones and -1. Among three numbers, or beside names, a mark may
    stand for anything.
    """
    means = {cell: _named(cell, classes) for cell in cells}
    told = [cell for cell in means if cell.casefold() not in BLANK | {""} and mark_of(cell) != -1]
    if not told or _marks_are_names(classes) or not are_of_one_pair(told):
        return means
    return means | {cell: LABELS[mark_of(cell) or 0] for cell in told}


def seems_to_mean(cell: str, classes: ClassWords) -> str:
    """Return the label that a cell alone seems to mean, by which a person is asked and nothing is read."""
    label = _named(cell, classes)
    return LABELS[mark_of(cell) or 0] if not label and _is_mark(cell) and not _marks_are_names(classes) else label


def _named(cell: str, classes: ClassWords) -> str:
    return classes.label_of(cell) or classes.label_of(re.sub(r"^([0-9]+)(\.0*)$", r"\1", cell))


def _marks_are_names(classes: ClassWords) -> bool:
    return any(map(_is_mark, (*classes.negative, *classes.positive)))


def _is_mark(cell: str) -> bool:
    return cell.casefold() not in BLANK | {"", "x", "+"} and mark_of(cell) in (0, 1)


def class_told(text: str, classes: ClassWords) -> str:
    """Return the label that a diagnosis in words or a code of ICD-10 seems to mean; empty if neither."""
    if label := classes.label_of(text):
        return label
    found = words_of(text)
    if any(_PNEUMONIA.search(word) for word in (*found, *text.casefold().split())) or _ICD_PNEUMONIA.fullmatch(text):
        return LABELS[0] if is_negated(text) else LABELS[1]
    whole = composed(text).casefold()
    return LABELS[0] if whole in _HEALTHY or _ICD_HEALTHY.fullmatch(text) else ""


def is_negated(text: str) -> bool:
    """Return whether a text holds a negation, such as `no effusion`."""
    return not _NEGATED.isdisjoint(words_of(text))


def class_in_name(name: str, classes: ClassWords) -> str:
    """Return the label that words in a file's name mean, as in `person1_virus_6` and `NORMAL2-IM-0001`; else empty.

    Short words may be initials, a negation may belong to any word, and names of both classes tell none.
    """
    found = whole_words(name)
    if not _NEGATED.isdisjoint(found):
        return ""
    words = [word for word in found if len(word) >= LEAST_LETTERS]
    labels = {class_told(word, classes) or (LABELS[1] if subtype_of(word) or word == "covid" else "") for word in words}
    labels.discard("")
    return labels.pop() if len(labels) == 1 else ""


def surely_told(text: str, classes: ClassWords) -> str:
    """Return the label of a cell of which every word is understood, such as `Virale Pneumonie`; else empty.

    Of `rule out pneumonia`, `resolved pneumonia` or `Pneumonie: nein` a person has to say what they are.
    """
    if label := classes.label_of(text):
        return label
    whole = composed(text).casefold()
    if whole in _HEALTHY or _ICD_HEALTHY.fullmatch(text):
        return LABELS[0]
    found = set(re.split(r"[\s_]+", whole))
    others = {word for word in found if not _PNEUMONIA_ITSELF.fullmatch(word)}
    if _ICD_PNEUMONIA.fullmatch(text) or (others < found and others <= _KINDS_OF_PNEUMONIA):
        return LABELS[1]
    return LABELS[0] if others < found and others <= _NEGATED else ""


def flags_for(cells: Iterable[str], classes: ClassWords) -> str:
    """Return the flags that name the classes of cells, NAME where none surely means one, and what is not understood."""
    told = [(surely_told(cell, classes), cell) for cell in cells if cell]
    marks = {cell for _, cell in told if plain_cell(cell) not in UNKNOWN}
    if are_of_one_pair(marks) and {*map(mark_of, marks)} == {0, 1}:
        told = [(LABELS[mark_of(cell) or 0] if cell in marks else "", cell) for _, cell in told]
    named = [" ".join(quoted(cell) for label, cell in told if label == one) or "NAME" for one in LABELS]
    unknown = [quoted(cell) for label, cell in told if not label]
    more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    rest = f" (not understood: {', '.join(unknown[:SHOWN])}{more})" if unknown else ""
    return f"--negative {named[0]} --positive {named[1]}{rest}"
