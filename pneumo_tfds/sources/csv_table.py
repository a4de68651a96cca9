"""Read tables of images: a CSV that lists path and label, and perhaps patient, split and more."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.description import TableDescription, Uncertain
from pneumo_tfds.sources.inventory import LABELS, SUBTYPES
from pneumo_tfds.sources.layout import ClassWords
from pneumo_tfds.sources.listing import File, Labelled, is_printable
from pneumo_tfds.sources.patients import normal_identifier
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.words import split_of, words_of

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

_TRUE, _UNSURE = re.compile(r"\+?1(\.0*)?"), re.compile(r"-1(\.0*)?")
_BINARY = {"0": LABELS[0], "1": LABELS[1]}


def read_rows(text: str, where: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the columns of a table, and line number and cells of each row. Commas, semicolons or tabs separate.

    Raises:
        InputError: the text is no table.
    """
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        reader = csv.DictReader(text.splitlines(keepends=True), delimiter=separator)
        columns = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = columns
        rows = [
            (reader.line_num, {column: (cell or "").strip() for column, cell in row.items() if column})
            for row in reader
        ]
    except csv.Error as error:
        raise InputError(f"{where}: cannot be read as a CSV ({error})") from error
    if repeated := [column for column, count in Counter(columns).items() if count > 1]:
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
) -> list[Labelled]:
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
    _note_unused(columns, chosen, notes)
    listed: dict[str, Labelled] = {}
    for line, row in rows:
        try:
            if one := _read_row(row, chosen, find, classes, notes):
                if one.file.name in listed:
                    raise InputError(f"{one.file.name} is listed twice; keep one line")
                listed[one.file.name] = one
        except InputError as error:
            raise InputError(f"{where}, line {line}: {error}") from error
    _ask_about_empty(listed, chosen, where, notes)
    return sorted(listed.values(), key=lambda one: one.file.name)


def _choose(columns: Sequence[str], where: str) -> dict[str, str]:
    roles = roles_of(columns)
    for role in ("path", "label"):
        if not roles[role]:
            raise InputError(
                f"{where}: needs a first line with the columns path,label[,patient][,split]; found "
                f"{', '.join(columns) or 'nothing'}; rename the column that holds the {role}"
            )
    for role, found in roles.items():
        if len(found) > 1:
            raise InputError(
                f"{where}: the columns {' and '.join(found)} could both be the {role}; rename one of them to {role}"
            )
    return {role: found[0] for role, found in roles.items() if found}


def _note_unused(columns: Sequence[str], chosen: dict[str, str], notes: SurveyNotes) -> None:
    unused = [column for column in columns if column and column not in chosen.values()]
    telling = [column for column in unused if {"patient", "subject", "person"} & set(words_of(column))]
    telling = [column for column in telling if not {"age", "sex", "gender", "birth", "weight"} & set(words_of(column))]
    if telling and "patient" not in chosen:
        notes.ask(
            f"no column is named patient, but {', '.join(telling)} may tell who is on an image; rename it to patient; "
            "--yes reads none of them"
        )
    split = [column for column in unused if {"split", "fold", "subset"} & set(words_of(column))]
    if split and "split" not in chosen:
        notes.ask(f"no column is named split, but {', '.join(split)} may be one; rename it to split; --yes reads none")


def _read_row(
    row: Row, chosen: dict[str, str], find: Callable[[str], File | None], classes: ClassWords, notes: SurveyNotes
) -> Labelled | None:  # fmt: skip
    cells = {role: row.get(column, "") for role, column in chosen.items()}
    name = cells["path"]
    if not is_printable(name + cells.get("patient", "")):
        raise InputError(f"has control characters in {name!r} or the patient; remove them")
    label = classes.label_of(cells["label"]) or (_BINARY.get(cells["label"].partition(".")[0], ""))
    if not label:
        raise InputError(
            f"unknown label {cells['label']!r}; use NORMAL or PNEUMONIA, or name it with --positive or --negative"
        )
    split = split_of(cells.get("split", ""))
    if cells.get("split") and not split:
        raise InputError(f"unknown split {cells['split']!r}; use train, val, test or leave it empty")
    subtype = cells.get("subtype", "").lower()
    if subtype and subtype not in SUBTYPES:
        raise InputError(f"unknown subtype {subtype!r}; use one of {', '.join(SUBTYPES)}")
    file = find(name) if name else None
    if file is None:
        raise InputError(f"there is no file {name!r}; correct the path, which is relative to the table")
    if is_lateral_view(cells.get("view", "")):
        notes.leave_out(f"view {cells['view']} is not frontal", file.name)
        return None
    return Labelled(file, label, split, normal_identifier(cells.get("patient", "")), subtype, "rows of the table")


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


def read_described(
    text: str,
    where: str,
    table: TableDescription,
    find: Callable[[str], File | None],
    classes: ClassWords,
    uncertain: Uncertain,
    notes: SurveyNotes,
) -> list[Labelled]:
    """Read a table of a described data set; see `TableDescription`.

    Rows of images that are not there are counted, as many people have a part of a large data set. An image in several
    rows is taken once if they agree.

    Raises:
        InputError: a column that the description names is missing.
    """
    columns, rows = read_rows(text, where)
    _check_columns(table, columns, classes, where)
    listed: dict[str, Labelled] = {}
    missing, disagreeing = [], set[str]()
    for _, row in rows:
        path = table.image.format_map(row)
        file = find(path)
        if file is None:
            missing.append(path)
            continue
        label, reason = _label(row, table, classes, uncertain)
        for column, values in table.keep.items():
            if row[column] not in values:
                label, reason = "", f"{column} is {row[column] or 'empty'}"
        if not label:
            notes.leave_out(reason, file.name)
            continue
        split = table.split.removeprefix("=") if table.split.startswith("=") else split_of(row.get(table.split, ""))
        patient = normal_identifier(table.patient.format_map(row))
        one = Labelled(file, label, split, patient, "", table.file)
        if listed.setdefault(file.name, one).label != label:
            disagreeing.add(file.name)
    for name in sorted(disagreeing):
        notes.leave_out("rows of the table disagree about the class", name)
        del listed[name]
    if missing:
        notes.warn(
            f"{where}: {len(missing):,} of {counted(len(rows), 'row')} name images that are not there, the first "
            f"{missing[0]}; the others are used"
        )
    return list(listed.values())


def _check_columns(table: TableDescription, columns: Sequence[str], classes: ClassWords, where: str) -> None:
    templates = [name for text in (table.image, table.patient) for name in re.findall(r"\{(.*?)\}", text)]
    split = [table.split] if table.split and not table.split.startswith("=") else []
    needed = [*templates, *table.keep, *split, *([table.label] if table.label else [])]
    if missing := [name for name in needed if name not in columns]:
        raise InputError(f"{where}: has no column {missing[0]!r}; found {', '.join(columns[:20])}")
    if not table.label:
        for names in (classes.negative, classes.positive):
            if not set(names) & set(columns):
                raise InputError(f"{where}: has no column {' or '.join(names)}; found {', '.join(columns[:20])}")


def _label(row: Row, table: TableDescription, classes: ClassWords, uncertain: Uncertain) -> tuple[str, str]:
    """Return the label of a row; or empty, and why the row is left out."""
    if table.label:
        cell = row[table.label]
        parts = cell.split(table.separator) if table.separator else [cell]
        found = {classes.label_of(part.strip(" []'\"")) for part in parts} - {""}
        reason = "other findings" if table.separator else f"{table.label} is {cell or 'empty'}"
    else:
        marked = {
            label: {_mark(row.get(name, "")) for name in names}
            for label, names in zip(LABELS, (classes.negative, classes.positive), strict=True)
        }
        found = {label for label, marks in marked.items() if 1 in marks}
        if not found and any(-1 in marks for marks in marked.values()):
            word = {"positive": LABELS[1], "negative": LABELS[0]}.get(uncertain, "")
            return word, "the finding is marked as uncertain; see --uncertain"
        reason = "other findings"
    if len(found) > 1:
        return "", "findings of both classes"
    return (found.pop(), "") if found else ("", reason)


def _mark(cell: str) -> int:
    return 1 if _TRUE.fullmatch(cell) else -1 if _UNSURE.fullmatch(cell) else 0


def read_split_list(text: str) -> Iterator[str]:
    """Yield the base names of images that a text file lists, one a line."""
    for line in text.splitlines():
        if name := line.strip().replace("\\", "/").rpartition("/")[2]:
            yield name
