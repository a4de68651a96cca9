"""Read all tables of a known data set, and the text files that list its official splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import decode_text, read_rows
from pneumo_tfds.sources.described_table import read_described
from pneumo_tfds.sources.description import (
    OWN_DESCRIPTION,
    Description,
    TableDescription,
    Uncertain,
    columns_of,
    columns_of_table,
    known_descriptions,
)
from pneumo_tfds.sources.file_index import FileIndex, differs_in_case
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import File, Labelled, NamedReader
from pneumo_tfds.sources.split_lists import take_listed_splits
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.table_cells import Rules
from pneumo_tfds.sources.unread_columns import ask_about_unread


@dataclass(frozen=True)
class KnownTables:
    """The tables of a known data set in a folder or an archive."""

    description: Description
    classes: ClassWords
    uncertain: Uncertain
    files: FileIndex
    """All files, among which the tables are."""
    images: FileIndex
    reader: NamedReader
    notes: SurveyNotes
    """What is left out or doubtful is added here."""
    marked: Counter[str] = field(default_factory=Counter)
    """Where every finding has a column, how many images each marks."""

    def read_all(self) -> list[Labelled]:
        """Return the images that the tables list.

        Raises:
            InputError: a table does not fit the description, or no image has a label.
        """
        labelled: list[Labelled] = []
        for table in self.description.tables:
            found = self._outermost(table.file)
            if not found:
                self.notes.warn(f"there is no {table.file}; the images that it lists are left out")
            for file in found:
                labelled += self._read(file.name, table)
        if not labelled:
            raise InputError(
                f"no image of the layout {self.description.name} is labelled {self.classes.in_words()}{self._doubts()}"
            )
        return self._checked(self._merged(labelled))

    def read(self, name: str, table: TableDescription) -> list[Labelled]:
        """Return the images that the table `name` lists, with their official split."""
        return self._checked(self._read(name, table))

    def _outermost(self, name: str) -> list[File]:
        """Return all files of a name with `*` or `?`; of one without, the outermost, as the others may be copies."""
        found = self.files.named(name)
        if len(found) < 2 or any(sign in name for sign in "*?["):
            return found
        first, *others = found
        content = self.reader.read_name(first.name)
        differing = [file for file in others if self.reader.read_name(file.name) != content]
        if differing:
            self.notes.warn(
                f"{name} is there {len(found)} times; only {first.name} is read, and {differing[0].name} is not; "
                "remove or rename one"
            )
        else:
            self.notes.tell(f"{name} is there {len(found)} times with the same content; {first.name} is read")
        for file in others:
            self.notes.was_read(file.name, tell=False)
        return [first]

    def _checked(self, labelled: list[Labelled]) -> list[Labelled]:
        """Warn of findings that no row marks, and return the images."""
        unmarked = [
            name for name, count in self.marked.items() if not count and self.classes.label_of(name) == LABELS[1]
        ]
        if unmarked:
            self.notes.warn(f"no image is marked in the column {' and '.join(unmarked)}, which is to mean {LABELS[1]}")
        return labelled

    def _merged(self, labelled: Sequence[Labelled]) -> list[Labelled]:
        """Return each image once; leave out those of which two tables say different things."""
        found: dict[str, Labelled] = {}
        disagreeing = set()
        for one in labelled:
            first = found.setdefault(one.file.name, one)
            if replace(first, where="") != replace(one, where=""):
                disagreeing.add(one.file.name)
        if disagreeing:
            self.notes.leave_out("tables disagree about the image", sorted(disagreeing))
        return [one for name, one in found.items() if name not in disagreeing]

    def _doubts(self) -> str:
        """Return what may be the cause that no image has a label."""
        kept = {column: values for table in self.description.tables for column, values in table.keep.items()}
        reasons = [f"{len(names):,} left out: {reason}" for reason, names in self.notes.left_out.items()]
        reasons += [f"only rows are kept with {column} = {' or '.join(values)}" for column, values in kept.items()]
        return "".join(f"; {text}" for text in [*(remark.text for remark in self.notes.remarks[:1]), *reasons[:3]])

    def _read(self, name: str, table: TableDescription) -> list[Labelled]:
        find = self.images.anywhere if table.anywhere else self.images.below(name.rpartition("/")[0])
        rules = Rules(table, self.classes, self.uncertain, marked=self.marked)
        columns, rows = read_rows(self._text(name), name)
        read = read_described(columns, rows, name, rules, find, self.notes)
        if read.missing:
            self._warn_of_missing(name, read.missing, len(rows))
        own = known_descriptions().get(self.description.name) != self.description
        if own and table.label:
            named = {f"named {column}": column for column in columns_of_table(table)}
            roles = {"label": table.label, "patient": next(iter(columns_of(table.patient)), ""), "split": table.split}
            chosen = named | {role: column for role, column in roles.items() if column}
            ask_about_unread(read.used, chosen, self.classes, self.notes)
        return self._with_split_lists(read.images, table)

    def _warn_of_missing(self, name: str, missing: Sequence[str], rows: int) -> None:
        like = next(filter(None, map(self.images.alike, missing)), None)
        own = f"a description of your own can name another suffix or folder in image, see {OWN_DESCRIPTION}"
        hint = f"; {like.name} is like one of them: {own}" if like else ""
        if like and any(differs_in_case(path, like) for path in missing):
            hint = f"; {like.name} is one of them but for letter case; correct it in the table"
        others = "; the others are used" if len(missing) < rows else ""
        self.notes.warn(
            f"{name}: {len(missing):,} of {counted(rows, 'row')} name images that are not there, the first "
            f"{missing[0]}{others}{hint}"
        )

    def _text(self, name: str) -> str:
        text = decode_text(self.reader.read_name(name), name)
        self.notes.was_read(name)
        return text

    def _with_split_lists(self, rows: list[Labelled], table: TableDescription) -> list[Labelled]:
        """Return the images with the split that text files list them in; without such a file nothing is changed."""
        files = {pattern: self._outermost(pattern) for pattern in table.lists.values()}
        missing = " and ".join(pattern for pattern, found in files.items() if not found)
        texts = {
            file.name: (split, self._text(file.name))
            for split, pattern in table.lists.items()
            for file in files[pattern]
        }
        if missing:
            without = "takes images in no list for training" if texts else "divides the images anew"
            self.notes.ask(f"the official split is not there: {missing}; --yes {without}; add the list")
        return take_listed_splits(rows, texts, self.images, self.notes) if texts else rows


def note_unlisted(images: Sequence[File], labelled: Sequence[Labelled], notes: SurveyNotes) -> None:
    """Note the images that no table lists as left out."""
    known = {one.file.name for one in labelled} | {name for names in notes.left_out.values() for name in names}
    unlisted = [file.name for file in images if file.name not in known]
    if unlisted:
        notes.leave_out("listed by no table", unlisted)


def patient_column(description: Description) -> str:
    """Return where the tables tell the patient, in words."""
    columns = {name for table in description.tables for name in columns_of(table.patient)}
    return f"column {' and '.join(sorted(columns))}"
