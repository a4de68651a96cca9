"""Read the rows of a table by its description: that of a known data set, or what its own columns are called."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted, quoted
from pneumo_tfds.sources.classes import ClassWords, flags_for, meanings_of
from pneumo_tfds.sources.column_kinds import Column, split_remedy
from pneumo_tfds.sources.csv_text import Row
from pneumo_tfds.sources.description import COLUMN, TableDescription, columns_of_table
from pneumo_tfds.sources.identifiers import normal_identifier
from pneumo_tfds.sources.image_kinds import unfit_row
from pneumo_tfds.sources.inventory import LABELS, SUBTYPES
from pneumo_tfds.sources.listing import File, Find, Labelled, is_printable
from pneumo_tfds.sources.merged_cells import merged_in
from pneumo_tfds.sources.source_options import Uncertain
from pneumo_tfds.sources.survey import SurveyNotes, listed
from pneumo_tfds.sources.table_columns import SPLIT_FLAGS
from pneumo_tfds.sources.words import is_mark_or_number, mark_of, opposite_of, plain_name, split_of

Value = TypeVar("Value")

Rows = Sequence[tuple[int, Row]]
"""Line number and cells of each row."""

Problems = defaultdict[str, list[tuple[int, str]]]
"""What is wrong in rows, told all at once: kind to line and text of each."""


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


@dataclass
class Read:
    """What the rows of a table say."""

    used: list[tuple[Row, Labelled]] = field(default_factory=list)
    """The rows whose images are used, and what was read from each."""
    missing: list[str] = field(default_factory=list)
    """Paths that lead to no file."""

    @property
    def images(self) -> list[Labelled]:
        """The images, each once."""
        return list({one.file.name: one for _, one in self.used}.values())


def read_described(
    columns: Sequence[str], rows: Rows, where: str, rules: Rules, find: Find, notes: SurveyNotes
) -> Read:
    """Read a table; see `TableDescription`. What is left out is noted.

    Args:
        columns: of the table.
        rows: of the table.
        where: its path, for messages.
        rules: what its columns are. An image in several rows of a described table is taken once if they agree.
        find: returns the file of a path; None, or InputError with the reason, if there is none.
        notes: what is left out or doubtful is added here.

    Raises:
        InputError: a column that the description names is missing, or cells are not understood. All that is wrong is
            told at once, with the first line of each kind.
    """
    table, own = rules.table, rules.roles is not None
    findings = _finding_columns(rules, columns, where)
    own_names = {name for _, row in rows for name in names_in(row[table.label], "")} if own and table.label else ()
    means = meanings_of(own_names, rules.classes)
    read, problems, seen = Read(), Problems(list), set[str]()
    first: dict[str, Labelled] = {}
    left_out: dict[str, str] = {}
    neither, disagreeing = list[tuple[int, Row]](), set[str]()
    for line, row in rows:
        if file := _told(problems, "file", line, _file, row, rules, find, seen if own else ()):
            seen.add(file.name)
        else:
            read.missing.append(filled(table.image, row))
            if not own:
                continue
        meant = _told(problems, "label", line, _label, row, rules, findings, means)
        split = _told(problems, "split", line, _split, row, rules, rows)
        subtype = _told(problems, "subtype", line, _subtype, row, rules)
        if own and meant and not meant[0] and table.label:
            neither.append((line, row))
        if file is None or meant is None or split is None or subtype is None:
            continue
        label, what = meant
        if reason := _unfit(row, rules) or ("" if label else what):
            left_out[file.name] = reason
            continue
        place = f"{table.label or 'label'} = {what}" if own else f"{where.rpartition('/')[2]}: {what}"
        one = Labelled(file, label, split, normal_identifier(filled(table.patient, row)), subtype, place)
        read.used.append((row, one))
        known = first.setdefault(file.name, one)
        if (known.label, known.split, known.patient) != (label, split, one.patient):
            disagreeing.add(file.name)
    if neither:
        _judge_neither(neither, means, read, rules, rows, problems, notes)
    if problems:
        raise InputError(f"{where}, {_in_words(problems)}")
    disagreeing |= left_out.keys() & first.keys()
    left_out |= dict.fromkeys(disagreeing, "rows of the table disagree about the image")
    for name, reason in sorted(left_out.items()):
        notes.leave_out(reason, name)
    read.used = [(row, one) for row, one in read.used if one.file.name not in disagreeing]
    return read


def _told(problems: Problems, kind: str, line: int, tell: Callable[..., Value], *given: Any) -> Value | None:
    """Return what `tell` reads of a row; if it raises InputError, add the message to the problems and return None."""
    try:
        return tell(*given)
    except InputError as error:
        problems[kind].append((line, str(error)))
        return None


def _in_words(problems: Problems) -> str:
    """Return the first line and message of each kind, and how many more there are, by line."""
    return "; ".join(
        f"line {line}: {text}" + (f" (and {counted(len(more), 'more row')})" if more else "")
        for (line, text), *more in sorted(problems.values())
    )


def _judge_neither(
    neither: Rows,
    means: Mapping[str, str],
    read: Read,
    rules: Rules,
    rows: Rows,
    problems: Problems,
    notes: SurveyNotes,
) -> None:
    """Refuse, ask or warn of rows of a user's own table that name neither class; `means` has the label of each name.

    They are refused where one class has no row, and asked about where marks or numbers stand beside names of classes.
    """
    column = rules.table.label
    cells = Counter(row[column] or "empty" for _, row in neither)
    by_flags = any(map(is_mark_or_number, (*rules.classes.negative, *rules.classes.positive)))
    marks = [] if by_flags else [*filter(is_mark_or_number, cells)]
    if {one.label for _, one in read.used} == set(LABELS):
        named = [" ".join(map(quoted, _of_label(label, means))) for label in LABELS]
        remedy = f"to use them, name them with --positive {named[1]} NAME... or --negative {named[0]} NAME..."
        if mixed := Counter({cell: cells.pop(cell) for cell in marks}):
            notes.ask(
                f"the column {column} holds names of classes and, beside them, {listed(mixed, noun='row')}, which may "
                f"mean anything; --yes leaves these rows out; {remedy}"
            )
        if cells:
            notes.warn(
                f"left out, because the column {column} is neither {rules.classes.in_words('nor')}: "
                f"{listed(cells, noun='row')}{f'; {remedy}' if cells.keys() - {'empty'} else ''}"
            )
        return
    held = Counter(row[column] or "empty" for _, row in rows)
    pairs = "0 and 1, no and yes and the like tell the classes only where a column holds nothing but one such pair"
    merged = merged_in([row[column] for _, row in rows])
    more = "".join(f"; {text}" for text in (pairs if marks else "", merged and f"it {merged}") if text)
    different = {row[column]: 0 for _, row in rows}
    remedy = _remedy_for_empty(set(different), means) or (
        f"use NORMAL and PNEUMONIA, or name those of each class with {flags_for(different, rules.classes)}; rows of "
        "others are left out then"
    )
    problems["label"] += [
        (
            line,
            f"unknown label {row[column]!r}; the column {column} holds {listed(held, noun='row')}{more}; {remedy}",
        )
        for line, row in neither
    ]


def _remedy_for_empty(cells: Set[str], means: Mapping[str, str]) -> str:
    """Return what to write into empty cells beside one that means PNEUMONIA; empty if the cells are others."""
    filled = cells - {""}
    if len(filled) != 1 or filled == cells:
        return ""
    (cell,) = filled
    if mark_of(cell) != 1 and means.get(cell) != LABELS[1]:
        return ""
    opposite = opposite_of(cell)
    flag = "" if opposite or means.get(cell) else f" and pass --positive {quoted(cell)}"
    return f"write {opposite or LABELS[0]} into the empty cells{flag}, if they mean {LABELS[0]}"


def _of_label(label: str, means: Mapping[str, str]) -> list[str]:
    """Return the different cells that mean a label."""
    return [*{plain_name(cell): cell for cell, meant in sorted(means.items()) if meant == label}.values()]


def filled(template: str, row: Row) -> str:
    """Return a text with the cells of a row in place of the columns in braces."""
    return COLUMN.sub(lambda match: row.get(match[1], ""), template)


def _file(row: Row, rules: Rules, find: Find, seen: set[str]) -> File | None:
    path, patient = filled(rules.table.image, row), filled(rules.table.patient, row)
    if not is_printable(path + patient):
        raise InputError(f"has control characters in {path!r} or the patient; remove them")
    file = find(path)
    if file and file.name in seen:
        spelled = "" if path == file.name else f", here as {path}"
        raise InputError(f"{file.name} is listed twice{spelled}; keep one line")
    return file


def _split(row: Row, rules: Rules, rows: Rows) -> str:
    """Return the split of a row, empty if it has none; the message for an unknown one shows what all `rows` hold."""
    column, roles = rules.table.split, rules.roles or {}
    cell = column.removeprefix("=") if column.startswith("=") else row.get(column, "")
    split = split_of(cell)
    if cell and not split:
        held = Column(column, [other.get(column, "") for _, other in rows])
        own = f"{split_remedy(held)}, or remove the column"
        remedy = own if roles else "write train, val and test into it, or take split out of the description"
        raise InputError(
            f"unknown split {cell!r} in the column {column}, which holds {listed(held.counts, noun='row')}; {remedy}"
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


def _subtype(row: Row, rules: Rules) -> str:
    """Return the subtype of a row, one of `SUBTYPES` or empty."""
    subtype = row.get((rules.roles or {}).get("subtype", ""), "").lower()
    if subtype and subtype not in SUBTYPES:
        raise InputError(f"unknown subtype {subtype!r}; use one of {', '.join(SUBTYPES)}")
    return subtype


def _unfit(row: Row, rules: Rules) -> str:
    """Return why a row is left out by columns that tell its fitness; empty if none speaks against it."""
    for column, values in rules.table.keep.items():
        if row.get(column, "").casefold() not in [value.casefold() for value in values]:
            return f"{column} is {row.get(column) or 'empty'}"
    return unfit_row({role: row[column] for role, column in (rules.roles or {}).items() if column in row})


def _finding_columns(rules: Rules, columns: Sequence[str], where: str) -> dict[str, str]:
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


def names_in(cell: str, separator: str) -> list[str]:
    """Return the different names in a cell, without the brackets and quotes that programs write around them."""
    return sorted({part.strip(" []'\"") for part in (cell.split(separator) if separator else [cell])})


def _label(row: Row, rules: Rules, findings: Mapping[str, str], means: Mapping[str, str]) -> tuple[str, str]:
    """Return the label of a row and what says so; or no label, and why the row is left out.

    Args:
        row: of the table.
        rules: what its columns are.
        findings: columns to the label that each means; none if the table has a column of labels.
        means: names in that column to the label that each means; none if the table is described.
    """
    table, classes = rules.table, rules.classes
    if table.label:
        cell = row.get(table.label, "")
        named = names_in(cell, table.separator)
        meant = ((classes.label_of(name) if rules.roles is None else means.get(name, ""), name) for name in named)
        found = {label: name for label, name in meant if label}
        reason = f"{table.label} names neither class" if table.separator else f"{table.label} is {cell or 'empty'}"
    else:
        marks = {name: mark_of(row.get(name, "")) for name in findings}  # 1 present, 0 absent, -1 uncertain
        if unknown := [name for name, mark in marks.items() if mark is None]:
            raise InputError(
                f"unknown value {row[unknown[0]]!r:.60} in the column {unknown[0]}; use 1 where it is present, 0 or "
                "nothing where not, and -1 where uncertain"
            )
        rules.marked.update(name for name, mark in marks.items() if mark == 1)
        found = {findings[name]: name for name, mark in marks.items() if mark == 1}
        unsure = [name for name, mark in marks.items() if mark == -1]
        if not found and unsure:
            word = {"positive": LABELS[1], "negative": LABELS[0]}.get(rules.uncertain, "")
            flag = "; see --uncertain" if rules.roles is None else ""
            return word, f"{unsure[0]} is uncertain{'' if word else f' (-1){flag}'}"
        reason = "no finding of either class is marked"
    if len(found) > 1:
        return "", "findings of both classes"
    return found.popitem() if found else ("", reason)
