"""Read the rows of a table by its description: that of a known data set, or what its own columns are called."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.classes import flags_for
from pneumo_tfds.sources.csv_text import Row
from pneumo_tfds.sources.identifiers import normal_identifier
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import File, Find, Labelled, is_printable
from pneumo_tfds.sources.survey import SurveyNotes, listed
from pneumo_tfds.sources.table_cells import (
    Rows,
    Rules,
    fill,
    finding_columns,
    label_of_row,
    split_of_row,
    subtype_of_row,
    unfit_of_row,
)

Value = TypeVar("Value")


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


class _Problems:
    """What is wrong in rows, told all at once: the first row of each kind, and how many are like it."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def attempt(self, kind: str, line: int, read: Callable[[], Value]) -> Value | None:
        """Return what `read` returns; note what is wrong and return None if it raises InputError."""
        try:
            return read()
        except InputError as error:
            self.found[kind].append((line, str(error)))
            return None

    def refuse(self, where: str) -> None:
        """Raise InputError if anything is wrong."""
        told = []
        for (line, text), *more in sorted(self.found.values()):
            told.append(f"line {line}: {text}" + (f" (and {counted(len(more), 'more row')})" if more else ""))
        if told:
            raise InputError(f"{where}, {'; '.join(told)}")


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
    findings = finding_columns(rules, columns, where)
    read, problems = Read(), _Problems()
    seen: set[str] = set()
    first: dict[str, Labelled] = {}
    left_out: dict[str, str] = {}
    neither: list[tuple[int, Row]] = []
    disagreeing: set[str] = set()
    for line, row in rows:
        path, patient = fill(table.image, row), fill(table.patient, row)
        file = problems.attempt("file", line, partial(_find, path, patient, find, seen if own else ()))
        if file is not None:
            seen.add(file.name)
        else:
            read.missing.append(path)
            if not own:
                continue
        told = problems.attempt("label", line, partial(label_of_row, row, rules, findings))
        split = problems.attempt("split", line, partial(split_of_row, row, rules, rows))
        subtype = problems.attempt("subtype", line, partial(subtype_of_row, row, rules))
        if own and told and not told[0] and table.label:
            neither.append((line, row))
        if file is None or told is None or split is None or subtype is None:
            continue
        label, what = told
        if reason := unfit_of_row(row, rules) or ("" if label else what):
            left_out[file.name] = reason
            continue
        place = f"{table.label or 'label'} = {what}" if own else f"{where.rpartition('/')[2]}: {what}"
        one = Labelled(file, label, split, normal_identifier(patient), subtype, place)
        read.used.append((row, one))
        known = first.setdefault(file.name, one)
        if (known.label, known.split, known.patient) != (label, split, one.patient):
            disagreeing.add(file.name)
    if neither:
        _judge_neither(neither, read, rules, rows, problems, notes)
    problems.refuse(where)
    disagreeing |= left_out.keys() & first.keys()
    left_out |= dict.fromkeys(disagreeing, "rows of the table disagree about the image")
    for name, reason in sorted(left_out.items()):
        notes.leave_out(reason, name)
    read.used = [(row, one) for row, one in read.used if one.file.name not in disagreeing]
    return read


def _find(path: str, patient: str, find: Find, seen: Collection[str]) -> File | None:
    if not is_printable(path + patient):
        raise InputError(f"has control characters in {path!r} or the patient; remove them")
    file = find(path)
    if file and file.name in seen:
        raise InputError(f"{file.name} is listed twice; keep one line")
    return file


def _judge_neither(
    neither: Rows, read: Read, rules: Rules, rows: Rows, problems: _Problems, notes: SurveyNotes
) -> None:
    """Refuse or warn of rows of a user's own table that name neither class: refuse where one class has no row."""
    column = rules.table.label
    cells = Counter(row[column] or "empty" for _, row in neither)
    if {one.label for _, one in read.used} == set(LABELS):
        notes.warn(
            f"left out, because the column {column} is neither {rules.classes.in_words('nor')}: "
            f"{listed(cells, noun='row')}; to use them, name them with --positive NAME... or --negative NAME..."
        )
        return
    held = listed(Counter(row[column] or "empty" for _, row in rows), noun="row")
    problems.found["label"] += [
        (
            line,
            f"unknown label {row[column]!r}; the column {column} holds {held}; use NORMAL and PNEUMONIA, or name "
            f"those of each class with {flags_for(cells, rules.classes)}; rows of others are left out then",
        )
        for line, row in neither
    ]
