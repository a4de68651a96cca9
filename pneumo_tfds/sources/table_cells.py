"""What the cells of a row say: label, split, subtype, and whether the image is to be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.classes import ClassWords, meaning_of
from pneumo_tfds.sources.column_kinds import Column, split_remedy
from pneumo_tfds.sources.csv_text import Row
from pneumo_tfds.sources.description import COLUMN, TableDescription, Uncertain, columns_of_table
from pneumo_tfds.sources.image_kinds import unfit_row
from pneumo_tfds.sources.inventory import LABELS, SUBTYPES
from pneumo_tfds.sources.survey import listed
from pneumo_tfds.sources.table_columns import SPLIT_FLAGS
from pneumo_tfds.sources.words import mark_of, split_of

Rows = Sequence[tuple[int, Row]]
"""Line number and cells of each row."""


@dataclass(frozen=True)
class Rules:
    """How the rows of a table become images with labels."""

    table: TableDescription
    classes: ClassWords
    uncertain: Uncertain = "left_out"
    roles: Mapping[str, str] | None = None
    """Role to column of a user's own table, in which 0 and 1 tell a class too and no image is listed twice; None for a
    table that is described."""
    marked: Counter[str] = field(default_factory=Counter)
    """Where every finding has a column: how many images each marks, of all tables that were read."""


def fill(template: str, row: Row) -> str:
    """Return a text with the cells of a row in place of the columns in braces."""
    return COLUMN.sub(lambda match: row.get(match[1], ""), template)


def split_of_row(row: Row, rules: Rules, rows: Rows) -> str:
    """Return the split of a row, empty if it has none; the message for an unknown one shows what all `rows` hold."""
    column, roles = rules.table.split, rules.roles or {}
    cell = column.removeprefix("=") if column.startswith("=") else row.get(column, "")
    split = split_of(cell)
    if cell and not split:
        held = Column(column, [other.get(column, "") for _, other in rows])
        raise InputError(
            f"unknown split {cell!r} in the column {column}, which holds {listed(held.counts, noun='row')}; "
            f"{split_remedy(held)}, or remove the column"
        )
    flags = {role: mark_of(row[roles[role]]) for role in SPLIT_FLAGS if role in roles}
    if unknown := [roles[role] for role, flag in flags.items() if flag not in (0, 1)]:
        raise InputError(f"unknown value {row[unknown[0]]!r} in the column {unknown[0]}; use 0 or 1")
    named = [role for role, flag in flags.items() if flag]
    if len(named) > 1:
        raise InputError(f"the columns {' and '.join(roles[role] for role in named)} name two splits; keep one")
    if flags and not named:
        return "test" if [*flags] == ["is_train"] else "" if "is_train" in flags else "train"
    return SPLIT_FLAGS[named[0]] if named else split


def subtype_of_row(row: Row, rules: Rules) -> str:
    """Return the subtype of a row, one of `SUBTYPES` or empty."""
    subtype = row.get((rules.roles or {}).get("subtype", ""), "").lower()
    if subtype and subtype not in SUBTYPES:
        raise InputError(f"unknown subtype {subtype!r}; use one of {', '.join(SUBTYPES)}")
    return subtype


def unfit_of_row(row: Row, rules: Rules) -> str:
    """Return why a row is left out by columns that tell its fitness; empty if none speaks against it."""
    for column, values in rules.table.keep.items():
        if row.get(column, "").casefold() not in [value.casefold() for value in values]:
            return f"{column} is {row.get(column) or 'empty'}"
    return unfit_row({role: row[column] for role, column in (rules.roles or {}).items() if column in row})


def finding_columns(rules: Rules, columns: Sequence[str], where: str) -> dict[str, str]:
    """Return the columns of findings with the label that each means; none if the table has a column of labels."""
    found = ", ".join(columns[:20])
    if missing := columns_of_table(rules.table).difference(columns):
        raise InputError(f"{where}: has no column {' and '.join(map(repr, sorted(missing)))}; found {found}")
    if rules.table.label:
        return {}
    findings = {column: label for column in columns if (label := rules.classes.label_of(column))}
    for label, names in zip(LABELS, (rules.classes.negative, rules.classes.positive), strict=True):
        if label not in findings.values():
            raise InputError(f"{where}: has no column {' or '.join(names)}; found {found}")
    rules.marked.update(dict.fromkeys(findings, 0))
    return findings


def _marks(row: Row, findings: Mapping[str, str]) -> dict[str, int]:
    """Return what a row says of each finding: 1 present, 0 absent, -1 uncertain."""
    marks = {}
    for name in findings:
        mark = mark_of(row.get(name, ""))
        if mark is None:
            raise InputError(
                f"unknown value {row[name]!r:.60} in the column {name}; use 1 where it is present, 0 or nothing where "
                "not, and -1 where uncertain"
            )
        marks[name] = mark
    return marks


def label_of_row(row: Row, rules: Rules, findings: Mapping[str, str]) -> tuple[str, str]:
    """Return the label of a row and what says so; or no label, and why the row is left out."""
    table, classes = rules.table, rules.classes
    if table.label:
        cell = row.get(table.label, "")
        meaning = classes.label_of if rules.roles is None else partial(meaning_of, classes=classes)
        parts = cell.split(table.separator) if table.separator else [cell]
        named = {part.strip(" []'\"") for part in parts}
        found = {label: name for name in sorted(named) if (label := meaning(name))}
        reason = f"{table.label} names neither class" if table.separator else f"{table.label} is {cell or 'empty'}"
    else:
        marks = _marks(row, findings)
        rules.marked.update(name for name, mark in marks.items() if mark == 1)
        found = {findings[name]: name for name, mark in marks.items() if mark == 1}
        unsure = [name for name, mark in marks.items() if mark == -1]
        if not found and unsure:
            word = {"positive": LABELS[1], "negative": LABELS[0]}.get(rules.uncertain, "")
            return word, f"{unsure[0]} is uncertain (-1); see --uncertain" if not word else f"{unsure[0]} is uncertain"
        reason = "no finding of either class is marked"
    if len(found) > 1:
        return "", "findings of both classes"
    return found.popitem() if found else ("", reason)
