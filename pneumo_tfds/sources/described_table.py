"""Read the table of a known data set by its description."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import Row, read_rows
from pneumo_tfds.sources.description import TableDescription, Uncertain
from pneumo_tfds.sources.identifiers import normal_identifier
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import Find, Labelled
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.words import split_of

OWN_IMAGE = (
    "a description of your own can name another suffix or folder in image, see docs/how-to/bring-your-own-xrays.md"
)

_COLUMN = re.compile(r"\{(.*?)\}")
_TRUE, _UNSURE = re.compile(r"\+?1(\.0*)?"), re.compile(r"-1(\.0*)?")


@dataclass(frozen=True)
class Rules:
    """How the rows of a described table become labels."""

    table: TableDescription
    classes: ClassWords
    uncertain: Uncertain


def read_described(text: str, where: str, rules: Rules, find: Find, alike: Find, notes: SurveyNotes) -> list[Labelled]:
    """Read a table of a described data set; see `TableDescription`.

    Rows of images that are not there are counted, as many people have a part of a large data set. An image in several
    rows is taken once if they agree.

    `find` returns the file of a path; `alike` one of the same name but for suffix, letter case and folder.

    Raises:
        InputError: a column that the description names is missing, or a split is unknown.
    """
    table = rules.table
    columns, rows = read_rows(text, where)
    _check_columns(rules, columns, where)
    found: dict[str, Labelled] = {}
    missing: list[str] = []
    disagreeing: set[str] = set()
    left_out: dict[str, str] = {}
    for line, row in rows:
        path = _fill(table.image, row)
        file = find(path)
        if file is None:
            missing.append(path)
            continue
        label, what = _label(row, rules)
        for column, values in table.keep.items():
            if row.get(column, "").casefold() not in map(str.casefold, values):
                label, what = "", f"{column} is {row.get(column) or 'empty'}"
        if not label:
            left_out[file.name] = what
            continue
        split = _split(row, table, f"{where}, line {line}")
        patient = normal_identifier(_fill(table.patient, row))
        one = Labelled(file, label, split, patient, "", f"{where.rpartition('/')[2]}: {what}")
        first = found.setdefault(file.name, one)
        if (first.label, first.split, first.patient) != (label, split, patient):
            disagreeing.add(file.name)
    for name in left_out.keys() & found.keys():
        disagreeing.add(name)
    for name in sorted(disagreeing):
        left_out[name] = "rows of the table disagree about the image"
        del found[name]
    for name, reason in left_out.items():
        notes.leave_out(reason, name)
    if missing:
        like = next(filter(None, map(alike, missing)), None)
        hint = f"; {like.name} is like one of them: {OWN_IMAGE}" if like else ""
        used = "; the others are used" if len(missing) < len(rows) else ""
        notes.warn(
            f"{where}: {len(missing):,} of {counted(len(rows), 'row')} name images that are not there, the first "
            f"{missing[0]}{used}{hint}"
        )
    return list(found.values())


def _fill(template: str, row: Row) -> str:
    return _COLUMN.sub(lambda match: row.get(match[1], ""), template)


def columns_of(template: str) -> list[str]:
    """Return the columns that a text such as `{ImageDir}/{ImageID}` names."""
    return _COLUMN.findall(template)


def _split(row: Row, table: TableDescription, where: str) -> str:
    cell = table.split.removeprefix("=") if table.split.startswith("=") else row.get(table.split, "")
    split = split_of(cell)
    if cell and not split:
        raise InputError(f"{where}: unknown split {cell!r}; use train, val or test")
    return split


def fits(table: TableDescription, columns: Sequence[str]) -> bool:
    """Return whether a table has the columns of a description."""
    return all(name in columns for name in _needed(table))


def _needed(table: TableDescription) -> list[str]:
    split = [table.split] if table.split and not table.split.startswith("=") else []
    label = [table.label] if table.label else []
    return [*columns_of(table.image), *columns_of(table.patient), *table.keep, *split, *label]


def _check_columns(rules: Rules, columns: Sequence[str], where: str) -> None:
    found = ", ".join(columns[:20])
    if missing := [name for name in _needed(rules.table) if name not in columns]:
        raise InputError(f"{where}: has no column {missing[0]!r}; found {found}")
    if not rules.table.label:
        for names in (rules.classes.negative, rules.classes.positive):
            if not any(rules.classes.label_of(column) and column in names for column in columns):
                raise InputError(f"{where}: has no column {' or '.join(names)}; found {found}")


def _label(row: Row, rules: Rules) -> tuple[str, str]:
    """Return the label of a row and what says so; or no label, and why the row is left out."""
    table, classes = rules.table, rules.classes
    if table.label:
        cell = row.get(table.label, "")
        parts = cell.split(table.separator) if table.separator else [cell]
        named = {part.strip(" []'\"") for part in parts}
        found = {label: name for name in sorted(named) if (label := classes.label_of(name))}
        reason = f"{table.label} names neither class" if table.separator else f"{table.label} is {cell or 'empty'}"
    else:
        marks = {
            (label, name): _mark(row.get(name, ""))
            for label, names in zip(LABELS, (classes.negative, classes.positive), strict=True)
            for name in names
        }
        found = {label: name for (label, name), mark in marks.items() if mark == 1}
        unsure = [name for (_, name), mark in marks.items() if mark == -1]
        if not found and unsure:
            word = {"positive": LABELS[1], "negative": LABELS[0]}.get(rules.uncertain, "")
            return word, f"{unsure[0]} is uncertain (-1); see --uncertain" if not word else f"{unsure[0]} is uncertain"
        reason = "no finding of either class is marked"
    if len(found) > 1:
        return "", "findings of both classes"
    return found.popitem() if found else ("", reason)


def _mark(cell: str) -> int:
    return 1 if _TRUE.fullmatch(cell) else -1 if _UNSURE.fullmatch(cell) else 0


def read_split_list(text: str) -> Iterator[str]:
    """Yield the base names of images that a text file lists, one a line."""
    for line in text.splitlines():
        if name := line.strip().replace("\\", "/").rpartition("/")[2]:
            yield name
