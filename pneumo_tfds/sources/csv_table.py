"""Read tables of images: a CSV that lists path and label, and perhaps patient, split and more."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.inventory import LABELS, SUBTYPES
from pneumo_tfds.sources.listing import File, Labelled, is_printable
from pneumo_tfds.sources.patients import normal_identifier
from pneumo_tfds.sources.survey import SurveyNotes, listed
from pneumo_tfds.sources.words import set_of, split_of, words_of

Row = Mapping[str, str]

ROLES = {
    "path": "path file filename filepath file_path image image_path image_file image_filename image_name img img_path",
    "label": "label labels class target diagnosis category finding findings finding_labels ground_truth",
    "patient": "patient patient_id patient_no patient_number patient_key patient_code subject subject_id person "
    "person_id participant participant_id pid mrn",
    "split": "split set subset partition fold phase data_split",
    "subtype": "subtype",
    "view": "view view_position projection",
}
"""What a column can be, and its usual names; the first is ours. `patientId` and `Patient ID` are `patient_id` too."""

_IDENTIFIER_WORDS = set_of(
    "accession anon anonymised anonymized case code hash id ids key mrn name no nr number patient person pseudonym "
    "record study subject uid uuid"
)
_MEASURES = set_of("age birth date gender height pixels rows columns sex size time weight width year")
_SPLIT_COLUMN = re.compile("(folds?|partition|splits?|subset)$")

_BINARY = {"0": LABELS[0], "1": LABELS[1]}
_WHOLE = re.compile(r"([0-9]+)(\.0*)?")

FEW_VALUES = 10
"""Most different values of a column that may be a split."""

SHOWN = 8
"""Labels that a message lists."""


@dataclass(frozen=True)
class Table:
    """The images that a table lists."""

    images: tuple[Labelled, ...]
    patient: str = ""
    """The column of the patient; empty if there is none."""


def read_rows(text: str, where: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the columns of a table, and line number and cells of each row. Commas, semicolons or tabs separate.

    Raises:
        InputError: the text is no table.
    """
    lines = text.splitlines(keepends=True)
    skipped = 1 if lines and re.fullmatch(r"sep=.\s*", lines[0]) else 0  # written by Excel
    first = lines[skipped] if lines[skipped:] else ""
    separator = max(",;\t", key=first.count)
    reader = csv.DictReader(lines[skipped:], delimiter=separator)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = columns
        rows = [
            (reader.line_num + skipped, {column: (cell or "").strip() for column, cell in row.items() if column})
            for row in reader
        ]
    except csv.Error as error:
        line = reader.line_num + skipped + 1
        raise InputError(f"{where}, line {line}: cannot be read as a CSV; check the quotes there") from error
    if repeated := [column for column, count in Counter(columns).items() if column and count > 1]:
        raise InputError(f"{where}: has the column {repeated[0]!r} twice; keep one")
    return columns, rows


def decode_text(data: bytes, where: str) -> str:
    """Return the bytes of a table as text.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: cannot be read as a UTF-8 CSV; save it as UTF-8") from error


def roles_of(columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns that could play each role; if one has our own name for a role, it alone."""
    found: dict[str, list[str]] = {}
    for role, names in ROLES.items():
        known = {"".join(words_of(name)) for name in names.split()}
        matching = [column for column in columns if "".join(words_of(column)) in known]
        own = [column for column in matching if column.lower() == role]
        found[role] = own or matching
    return found


def lists_images(columns: Sequence[str]) -> bool:
    """Return whether a table with these columns lists images with labels."""
    roles = roles_of(columns)
    return bool(roles["path"] and roles["label"])


def read_table(
    text: str, where: str, find: Callable[[str], File | None], classes: ClassWords, notes: SurveyNotes
) -> Table:
    """Read a table whose columns have usual names.

    Args:
        text: the CSV.
        where: its path, for messages.
        find: returns the file of a path in it, or None if there is none.
        classes: the words for the classes; `0` and `1` are understood too, unless words are given that are digits.
        notes: what is left out or doubtful is added here.

    Raises:
        InputError: a column is missing or could be two things, a label, subtype or split is unknown, a path is listed
            twice, or a file does not exist. The message names the line.
    """
    columns, rows = read_rows(text, where)
    chosen = _choose(columns, where)
    _tell_columns(columns, rows, chosen, notes)
    found: dict[str, Labelled] = {}
    for line, row in rows:
        try:
            if one := _read_row(row, chosen, find, classes, notes):
                if one.file.name in found:
                    raise InputError(f"{one.file.name} is listed twice; keep one line")
                found[one.file.name] = one
        except UnknownLabel as error:
            labels = Counter(row[chosen["label"]] or "empty" for _, row in rows)
            raise InputError(
                f"{where}, line {line}: {error}; the column {chosen['label']} holds {listed(labels, SHOWN, 'row')}"
            ) from error
        except InputError as error:
            raise InputError(f"{where}, line {line}: {error}") from error
    _ask_about_empty(found, chosen, where, notes)
    return Table(tuple(sorted(found.values(), key=lambda one: one.file.name)), chosen.get("patient", ""))


class UnknownLabel(InputError):
    """A label means neither class."""


def _choose(columns: Sequence[str], where: str) -> dict[str, str]:
    roles = roles_of(columns)
    for role in ("path", "label"):
        if not roles[role]:
            raise InputError(
                f"{where}: needs a first line with the columns path,label[,patient][,split]; found "
                f"{', '.join(columns[:20]) or 'nothing'}; rename the column that holds the {role}"
            )
    for role, found in roles.items():
        if len(found) > 1:
            raise InputError(
                f"{where}: the columns {' and '.join(found)} could both be the {role}; rename one of them to {role}"
            )
    return {role: found[0] for role, found in roles.items() if found}


def _tell_columns(
    columns: Sequence[str], rows: Sequence[tuple[int, Row]], chosen: dict[str, str], notes: SurveyNotes
) -> None:
    """Tell which column is what; ask about columns that may tell patient or split and are not read."""
    unused = [column for column in columns if column and column not in chosen.values()]
    cells = {column: [row[column] for _, row in rows] for column in unused}
    split = [column for column in unused if _may_be_split(column, cells[column])]
    roles = ", ".join(role if role == column.lower() else f"{column} as {role}" for role, column in chosen.items())
    notes.tell(f"columns read: {roles}; not read: {', '.join(unused) or 'none'}")
    others = [column for column in unused if column not in split]
    telling = [column for column in others if _may_be_patient(column, cells[column])]
    if telling and "patient" not in chosen:
        notes.ask(
            f"no column is named patient, but {', '.join(telling)} may tell who is on an image; rename it to patient "
            "if so; --yes reads none of them",
            about_patients=True,
        )
    if split and "split" not in chosen:
        notes.ask(f"no column is named split, but {', '.join(split)} may be one; rename it to split; --yes reads none")


def _may_be_split(column: str, cells: Sequence[str]) -> bool:
    """Return whether a column is named like a split, or is one of few words with words for splits among them."""
    named = any(_SPLIT_COLUMN.search(word) for word in words_of(column))
    values = set(cells)
    return named or (len(values) <= FEW_VALUES and any(map(split_of, values)))


def _may_be_patient(column: str, cells: Sequence[str]) -> bool:
    """Return whether a column is named like an identifier, or holds what some rows share and most do not."""
    words = set(words_of(column))
    if not words.isdisjoint(_MEASURES):
        return False
    different = len(set(map(normal_identifier, cells)))
    if different == len(cells):  # a number of its own for each row tells no patient
        return bool(words & {"patient", "person", "subject"})
    return (not words.isdisjoint(_IDENTIFIER_WORDS) and different > 1) or different > 0.3 * len(cells)


def _read_row(
    row: Row, chosen: dict[str, str], find: Callable[[str], File | None], classes: ClassWords, notes: SurveyNotes
) -> Labelled | None:  # fmt: skip
    cells = {role: row.get(column, "") for role, column in chosen.items()}
    name = cells["path"]
    if not is_printable(name + cells.get("patient", "")):
        raise InputError(f"has control characters in {name!r} or the patient; remove them")
    label = _label_of(cells["label"], classes)
    split = split_of(cells.get("split", ""))
    if cells.get("split") and not split:
        raise InputError(
            f"unknown split {cells['split']!r} in the column {chosen['split']}; use train, val, test or nothing, "
            "or rename the column"
        )
    subtype = cells.get("subtype", "").lower()
    if subtype and subtype not in SUBTYPES:
        raise InputError(f"unknown subtype {subtype!r}; use one of {', '.join(SUBTYPES)}")
    file = find(name) if name else None
    if file is None:
        raise InputError(f"there is no file {name!r}; correct the path, which is relative to the table")
    if is_lateral_view(cells.get("view", "")):
        notes.leave_out(f"view {cells['view']} is not frontal", file.name)
        return None
    return Labelled(
        file,
        label,
        split,
        normal_identifier(cells.get("patient", "")),
        subtype,
        f"{chosen['label']} = {cells['label']}",
    )


def _label_of(cell: str, classes: ClassWords) -> str:
    label = classes.label_of(cell)
    number = _WHOLE.fullmatch(cell)
    if not label and number:
        label = classes.label_of(number[1])
        if not label and not any(_WHOLE.fullmatch(name) for name in (*classes.negative, *classes.positive)):
            label = _BINARY.get(number[1], "")
    if not label:
        raise UnknownLabel(f"unknown label {cell!r}; use NORMAL or PNEUMONIA, or name it with --positive or --negative")
    return label


def is_lateral_view(view: str) -> bool:
    """Return whether the text of a column says that the view is not frontal."""
    return view.strip().lower() in {"l", "r", "ll", "rl", "lat", "lld", "rld"} or "lateral" in view.lower()


def _ask_about_empty(listed: Mapping[str, Labelled], chosen: dict[str, str], where: str, notes: SurveyNotes) -> None:
    without = [one for one in listed.values() if not one.split]
    if "split" in chosen and without and len(without) < len(listed):
        notes.ask(
            f"{where}: {counted(len(without), 'row')} have no split, though others have one, the first for "
            f"{without[0].file.name}; --yes takes them for training"
        )
