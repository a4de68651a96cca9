"""Ask about the columns of a table that are not read and tell something by their cells, see `column_kinds`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.column_kinds import (
    Column,
    contradicting,
    groups_otherwise,
    is_split,
    marks_unfit,
    may_be_patient,
    may_exclude,
    not_photographed,
    split_remedy,
    tells_by_name,
)
from pneumo_tfds.sources.csv_text import Row
from pneumo_tfds.sources.image_kinds import kinds_of_image, views_not_understood
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.layout_questions import ask_about_folds
from pneumo_tfds.sources.listing import Labelled
from pneumo_tfds.sources.path_columns import columns_in, links
from pneumo_tfds.sources.survey import SurveyNotes, listed
from pneumo_tfds.sources.table_columns import SPLIT_FLAGS, usual_names
from pneumo_tfds.sources.words import mark_of, split_of, subtype_of, words_for

_REMARKS = words_for("remarks")

VARIED = 1000
"""Different values above which a column is of numbers, names or free text, and tells at most split or patient."""


def ask_about_unread(
    used: Sequence[tuple[Row, Labelled]],
    chosen: Mapping[str, str],
    classes: ClassWords,
    notes: SurveyNotes,
    *,
    described: bool = False,
) -> None:
    """Ask about every column that is not read and tells something, once for each, by the first kind that it is of.

    What the column of the split holds is asked about where it may be of folds.

    Args:
        used: the rows whose images are used, and what was read from each.
        chosen: role to the column that is read for it.
        classes: the words for the classes.
        notes: the questions are added here.
        described: the table is read by a description of somebody's own, in which its columns are named.
    """
    if "split" in chosen:
        ask_about_folds(f"cells of {chosen['split']}", (row[chosen["split"]] for row, _ in used), notes)
    classes = replace(classes, met=set())  # what is not read does not show that a flag was spelled well
    for name in [name for name in used[0][0] if name not in chosen.values()] if used else []:
        column = Column(name, [row[name] for row, _ in used])
        if is_split(column):
            text = _split_question(column, used, chosen, described)
        else:
            text = "" if len(column.counts) > VARIED else _question(column, used, chosen, classes, described)
        if text:
            notes.ask(text)
        elif text := _patient_question(column, used, chosen, described):
            notes.ask_about_patients(text)
        else:
            _note_words(column, used, notes, renamed=not described and "subtype" not in chosen)


def _note_words(column: Column, used: Sequence[tuple[Row, Labelled]], notes: SurveyNotes, *, renamed: bool) -> None:
    """Ask about names of other images; warn of views that are not understood, and of remarks; tell kinds of pneumonia.

    These can be read if the column may be `renamed`.
    """
    of_pneumonia = _is_of_pneumonia(column, used)
    if found := links(column, used):
        image, other = found[0]
        rows = counted(len(found), "row")
        notes.ask_about_patients(
            f"the column {column.name} is not read and names images of other rows in {rows}, such as {other} for "
            f"{image}; --yes does not take them for those of one patient; if they are, write a column patient; if they "
            "are copies, remove them"
        )
    elif len(column.counts) <= VARIED and (unknown := views_not_understood(column.cells)):
        notes.warn(
            f"the column {column.name} is not read and names views; not understood in it: "
            f"{listed(unknown, 5, 'row')}; their images are used"
        )
    elif of_pneumonia and any(map(subtype_of, column.counts)):
        if renamed:
            notes.tell(
                f"the column {column.name} is not read and names kinds of pneumonia; to use them, rename it to "
                "subtype, with bacteria, virus or unknown in its cells"
            )
    elif _is_of_remarks(column) and (not of_pneumonia or column.words & _REMARKS):
        shown = Counter({f"{cell:.60}": count for cell, count in column.counts.items()})
        notes.warn(
            f"the column {column.name} is not read, and may say what speaks against an image: "
            f"{listed(shown, 5, 'row')}; all are used"
        )


def _is_of_pneumonia(column: Column, used: Sequence[tuple[Row, Labelled]]) -> bool:
    """Return whether a column is filled for PNEUMONIA alone, and for half of it; filled for a few it is of remarks."""
    filled = [one.label for row, one in used if row[column.name] in column.counts]
    return LABELS[0] not in filled and 2 * len(filled) >= sum(one.label == LABELS[1] for _, one in used)


def _is_of_remarks(column: Column) -> bool:
    """Return whether a column is named for remarks, or holds words in a few rows and nothing in the others."""
    worded = [cell for cell in column.counts if re.search(r"[^\W\d_]{2}", cell) and mark_of(cell) is None]
    few = 0 < column.counts.total() < len(column.cells) / 2 and not column.is_ordinary
    return bool(worded) and (bool(column.words & _REMARKS) or (few and len(worded) == len(column.counts)))


def _taken_for(role: str, column: str, *, described: bool) -> str:
    """Return how a column is made that of a role, by its own name or in a description."""
    if not described:
        return f"rename it to {role}"
    key = column if re.fullmatch(r"[A-Za-z0-9_-]+", column) else f'"{column}"'
    value = {"split": f'"{column}"', "patient": f'"{{{column}}}"'}.get(role, f"{{ {key} = [...] }}")
    return f"write {role if role in ('split', 'patient') else 'keep'} = {value} into the table of the description"


def _split_question(
    column: Column, used: Sequence[tuple[Row, Labelled]], chosen: Mapping[str, str], described: bool
) -> str:
    split = " and ".join(chosen[role] for role in ("split", *SPLIT_FLAGS) if role in chosen)
    if not split:
        remedy = f"{_taken_for('split', column.name, described=True)}, with train, val and test in its cells"
        return (
            f"no column is named split, but {column} may be one; {remedy if described else split_remedy(column)}, else "
            "remove it; --yes does not read it"
        )
    differing = sum(_is_other_split(column.name, row[column.name], one.split) for row, one in used)
    if not differing:
        return ""
    return (
        f"the column {column} may be a split and contradicts {split} in {differing:,} of {counted(len(used), 'row')}; "
        f"--yes reads {split}; correct or remove one of them"
    )


def _is_other_split(column: str, cell: str, own: str) -> bool:
    """Return whether a cell tells another split of a row than the one that is read; `train` may include validation."""
    flag = next((split for role, split in SPLIT_FLAGS.items() if usual_names(role, [column])), "")
    other = flag if flag and mark_of(cell) == 1 else split_of(cell)
    if not own or (other, own) == ("train", "val"):
        return False
    return other not in ("", own) or (flag == own and mark_of(cell) == 0)


def _question(
    column: Column,
    used: Sequence[tuple[Row, Labelled]],
    chosen: Mapping[str, str],
    classes: ClassWords,
    described: bool,
) -> str:
    """Return the question about a column that tells fitness, kind of image or label; empty if it does not."""
    name, label, rows = column.name, chosen["label"], counted(len(used), "row")
    if may_exclude(column):
        return (
            f"the column {column} may say which images are not to be used, and is not read; --yes uses all; else "
            "remove the rows and then the column"
        )
    if unfit := marks_unfit(column):
        return (
            f"the column {column} is not read and marks images of {unfit:,} of {rows} that are no frontal chest "
            "X-rays; --yes uses them; if it is so, remove these rows and then the column"
        )
    if kinds := kinds_of_image(column.cells):
        rename = len(kinds) == 1 and not kinds.keys() & chosen.keys()
        taken = _taken_for(min(kinds), name, described=described)
        remedy = f"{taken}, which leaves them out" if rename else "remove these rows"
        return (
            f"the column {name} is not read and names images that are no frontal chest X-rays: "
            f"{listed(sum(kinds.values(), Counter()), 3, 'row')}; --yes uses them; else {remedy}"
        )
    if other := not_photographed(column):
        return (
            f"the column {name} is not read and tells masks, animals or made pictures: {listed(other, 3, 'row')}; "
            "--yes uses them; if it is so, remove these rows"
        )
    if differing := contradicting(column, [one.label for _, one in used], classes):
        return (
            f"the columns {column} and {label} could both be the label and contradict each other in {differing:,} of "
            f"{rows}; --yes reads {label}; correct one of them, or remove {name}"
        )
    if tells_by_name(column, [one.label for _, one in used], classes):
        return (
            f"the column {column} is not read, and its name may say which images are no X-rays of the chest or of the "
            "other class; its two values are not understood; --yes uses all images; write 0 and 1 in their place, or "
            "remove it"
        )
    return ""


def _patient_question(
    column: Column, used: Sequence[tuple[Row, Labelled]], chosen: Mapping[str, str], described: bool
) -> str:
    patient, taken = chosen.get("patient", ""), _taken_for("patient", column.name, described=described)
    parts = columns_in(column)
    if not patient and any(map(may_be_patient, parts)):
        return (
            f"no column is named patient, but {column} may tell who is on an image; {taken} if so, else remove it; "
            "--yes does not read it"
        )
    told = [one.patient for _, one in used]
    if patient and any(groups_otherwise(part, told) for part in parts):
        instead = "" if described else f"remove {patient} and "
        return (
            f"the column {column} may tell who is on an image too, and groups the rows otherwise than {patient}; --yes "
            f"reads {patient}; if {column.name} is right, {instead}{taken}; else remove it"
        )
    return ""
