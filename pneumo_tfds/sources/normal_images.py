"""Ask about images of the negative class of which their rows say more than that: another finding, or a subtype."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.classes import ClassWords, class_told, is_negated
from pneumo_tfds.sources.csv_text import Row
from pneumo_tfds.sources.described_table import names_in
from pneumo_tfds.sources.inventory import KINDS, LABELS
from pneumo_tfds.sources.listing import Labelled
from pneumo_tfds.sources.survey import SurveyNotes, listed
from pneumo_tfds.sources.words import FILLERS, mark_of, set_of, words_for, words_of

_FINDINGS = words_for("findings")
_BESIDE_FINDINGS = FILLERS | set_of("acute chronic enlarged flag has is label lobar other pleural present pulmonary")
"""Words, in names of columns, for findings of a chest radiograph, and what may stand beside them."""

_REMARKS = {"unchanged"}
"""What stands among the findings of PadChest and is none."""


def ask_about_normal_images(
    used: Sequence[tuple[Row, Labelled]],
    classes: ClassWords,
    notes: SurveyNotes,
    *,
    label: str = "",
    separator: str = "",
    published: bool = False,
) -> None:
    """Ask about images of NORMAL whose rows mark or name another finding, or give them a subtype.

    Args:
        used: the rows whose images are used, and what was read from each.
        classes: the words for the classes.
        notes: the questions are added here.
        label: column of labels with several names in a cell, divided by `separator`; empty without one.
        separator: what divides these names.
        published: the table is one of a known data set, whose authors may have meant it so: warn, and do not ask.
    """
    unmarked = replace(classes, met=set())
    normal = {one.file.name: row for row, one in used if one.label == LABELS[0]}
    named = {column for row in list(normal.values())[:1] for column in row if _is_finding(column, unmarked)}
    found, images = Counter[str](), 0
    for row in normal.values():
        others = {column for column in named if mark_of(row[column]) == 1}
        if separator:
            others.update(filter(None, names_in(row[label], separator)))
        others = {
            name for name in others if class_told(name, unmarked) != LABELS[0] and not is_negated(name)
        } - _REMARKS
        found.update(others)
        images += bool(others)
    if found:
        note, done = (notes.warn, "they are taken") if published else (notes.ask, "--yes takes them")
        note(
            f"other findings are marked for {images:,} of {counted(len(normal), f'{LABELS[0]} image')}: "
            f"{listed(found)}; {done} for {LABELS[0]}; if they are not, correct or remove their rows"
        )
    if typed := [one for _, one in used if one.label == LABELS[0] and one.subtype in KINDS]:
        notes.ask(
            f"{counted(len(typed), f'{LABELS[0]} image')}, the first {typed[0].file.name}, "
            f"have the subtype {typed[0].subtype} or another one of {LABELS[1]}; --yes takes them for {LABELS[0]}; "
            "correct their label or empty the subtype"
        )


def _is_finding(column: str, classes: ClassWords) -> bool:
    """Return whether a column is named for a finding that is no name of a class."""
    found = {word for word in words_of(column) if not word.isdecimal()}
    return bool(found & _FINDINGS) and found <= _FINDINGS | _BESIDE_FINDINGS and not classes.label_of(column)
