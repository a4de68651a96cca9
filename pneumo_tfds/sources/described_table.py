"""Read the table of a known data set by its description."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import Row, read_rows
from pneumo_tfds.sources.description import OWN_DESCRIPTION, TableDescription, Uncertain
from pneumo_tfds.sources.identifiers import normal_identifier
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import Find, Labelled, differs_in_case
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.unread_columns import ask_about_unread
from pneumo_tfds.sources.words import mark_of, split_of

OWN_IMAGE = f"a description of your own can name another suffix or folder in image, see {OWN_DESCRIPTION}"

_COLUMN = re.compile(r"\{(.*?)\}")


@dataclass(frozen=True)
class Rules:
    """How the rows of a described table become labels."""

    table: TableDescription
    classes: ClassWords
    uncertain: Uncertain
    own: bool = False
    """Whether the description is the user's own, so that columns which it does not name are judged."""
    marked: Counter[str] = field(default_factory=Counter)
    """Where every finding has a column: how many images each marks, of all tables that were read."""


def read_described(text: str, where: str, rules: Rules, find: Find, alike: Find, notes: SurveyNotes) -> list[Labelled]:
    """Read a table of a described data set; see `TableDescription`.

    Rows of images that are not there are counted, as many people have a part of a large data set. An image in several
    rows is taken once if they agree.

    `find` returns the file of a path; `alike` one of the same name but for suffix, letter case and folder.

    Raises:
        InputError: a column that the description names is missing, or a split or the mark of a finding is unknown.
    """
    table = rules.table
    columns, rows = read_rows(text, where)
    findings = _check_columns(rules, columns, where)
    found: dict[str, Labelled] = {}
    missing: list[str] = []
    disagreeing: set[str] = set()
    left_out: dict[str, str] = {}
    used: list[tuple[Row, Labelled]] = []
    for line, row in rows:
        path = _fill(table.image, row)
        file = find(path)
        if file is None:
            missing.append(path)
            continue
        marks = _marks(row, findings, f"{where}, line {line}")
        rules.marked.update(name for name, mark in marks.items() if mark == 1)
        label, what = _label(row, rules, findings, marks)
        for column, values in table.keep.items():
            if row.get(column, "").casefold() not in [value.casefold() for value in values]:
                label, what = "", f"{column} is {row.get(column) or 'empty'}"
        if not label:
            left_out[file.name] = what
            continue
        split = _split(row, table, f"{where}, line {line}")
        patient = normal_identifier(_fill(table.patient, row))
        one = Labelled(file, label, split, patient, "", f"{where.rpartition('/')[2]}: {what}")
        used.append((row, one))
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
        if like and any(differs_in_case(path, like) for path in missing):
            hint = f"; {like.name} is one of them but for letter case; correct it in the table"
        others = "; the others are used" if len(missing) < len(rows) else ""
        notes.warn(
            f"{where}: {len(missing):,} of {counted(len(rows), 'row')} name images that are not there, the first "
            f"{missing[0]}{others}{hint}"
        )
    if rules.own and table.label:
        named = {f"named {column}": column for column in _needed(table)}
        roles = {"label": table.label, "patient": next(iter(columns_of(table.patient)), ""), "split": table.split}
        ask_about_unread(used, named | {role: column for role, column in roles.items() if column}, rules.classes, notes)
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


def _check_columns(rules: Rules, columns: Sequence[str], where: str) -> dict[str, str]:
    """Return the columns of findings with the label that each means; none if the table has a column of labels."""
    found = ", ".join(columns[:20])
    if missing := [name for name in _needed(rules.table) if name not in columns]:
        raise InputError(f"{where}: has no column {missing[0]!r}; found {found}")
    if rules.table.label:
        return {}
    findings = {column: label for column in columns if (label := rules.classes.label_of(column))}
    for label, names in zip(LABELS, (rules.classes.negative, rules.classes.positive), strict=True):
        if label not in findings.values():
            raise InputError(f"{where}: has no column {' or '.join(names)}; found {found}")
    rules.marked.update(dict.fromkeys(findings, 0))
    return findings


def _marks(row: Row, findings: Mapping[str, str], where: str) -> dict[str, int]:
    """Return what a row says of each finding: 1 present, 0 absent, -1 uncertain."""
    marks = {}
    for name in findings:
        mark = mark_of(row.get(name, ""))
        if mark is None:
            raise InputError(
                f"{where}: unknown value {row[name]!r:.60} in the column {name}; use 1 where it is present, 0 or "
                "nothing where not, and -1 where uncertain"
            )
        marks[name] = mark
    return marks


def _label(row: Row, rules: Rules, findings: Mapping[str, str], marks: Mapping[str, int]) -> tuple[str, str]:
    """Return the label of a row and what says so; or no label, and why the row is left out."""
    table, classes = rules.table, rules.classes
    if table.label:
        cell = row.get(table.label, "")
        parts = cell.split(table.separator) if table.separator else [cell]
        named = {part.strip(" []'\"") for part in parts}
        found = {label: name for name in sorted(named) if (label := classes.label_of(name))}
        reason = f"{table.label} names neither class" if table.separator else f"{table.label} is {cell or 'empty'}"
    else:
        found = {findings[name]: name for name, mark in marks.items() if mark == 1}
        unsure = [name for name, mark in marks.items() if mark == -1]
        if not found and unsure:
            word = {"positive": LABELS[1], "negative": LABELS[0]}.get(rules.uncertain, "")
            return word, f"{unsure[0]} is uncertain (-1); see --uncertain" if not word else f"{unsure[0]} is uncertain"
        reason = "no finding of either class is marked"
    if len(found) > 1:
        return "", "findings of both classes"
    return found.popitem() if found else ("", reason)
