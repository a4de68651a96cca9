"""Read all tables of a known data set, and the text files that list its official splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources import described_table
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import decode_text
from pneumo_tfds.sources.description import Description, TableDescription, Uncertain
from pneumo_tfds.sources.listing import File, FileIndex, Labelled, NamedReader
from pneumo_tfds.sources.survey import SurveyNotes


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

    def read_all(self) -> list[Labelled]:
        """Return the images that the tables list.

        Raises:
            InputError: a table does not fit the description, or no image has a label.
        """
        labelled: list[Labelled] = []
        for table in self.description.tables:
            for file in self._files_of(table):
                labelled += self.read(file.name, table)
        if not labelled:
            raise InputError(
                f"no image of the layout {self.description.name} is labelled {self.classes.in_words()}{self._doubts()}"
            )
        return self._merged(labelled)

    def _files_of(self, table: TableDescription) -> list[File]:
        """Return all files of a name with `*` or `?`; of one without, the outermost, as the others may be copies."""
        found = self.files.named(table.file)
        if not found:
            self.notes.warn(f"there is no {table.file}; the images that it lists are left out")
        if len(found) < 2 or any(sign in table.file for sign in "*?["):
            return found
        self.notes.warn(
            f"{table.file} is there {len(found)} times; only {found[0].name} is read, and {found[1].name} is not; "
            "remove or rename one"
        )
        return found[:1]

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

    def read(self, name: str, table: TableDescription) -> list[Labelled]:
        """Return the images that the table `name` lists, with their official split."""
        find = self.images.anywhere if table.anywhere else self.images.below(name.rpartition("/")[0])
        rules = described_table.Rules(table, self.classes, self.uncertain)
        rows = described_table.read_described(self._text(name), name, rules, find, self.images.alike, self.notes)
        return self._with_split_lists(rows, table)

    def _text(self, name: str) -> str:
        text = decode_text(self.reader.read_name(name), name)
        self.notes.was_read(name)
        return text

    def _with_split_lists(self, rows: list[Labelled], table: TableDescription) -> list[Labelled]:
        """Return the images with the split that text files list them in; without such a file nothing is changed."""
        split_by_name: dict[str, str] = {}
        for split, pattern in table.lists.items():
            for file in self.files.named(pattern)[:1]:
                names = described_table.read_split_list(self._text(file.name))
                split_by_name.update(dict.fromkeys(names, split))
        if table.lists and not split_by_name:
            listed = " and ".join(table.lists.values())
            self.notes.warn(f"the official split is not there ({listed}); a test set is split off by patient")
        return [replace(one, split=split_by_name.get(one.file.name.rpartition("/")[2], one.split)) for one in rows]


def note_unlisted(images: Sequence[File], labelled: Sequence[Labelled], notes: SurveyNotes) -> None:
    """Note the images that no table lists as left out."""
    known = {one.file.name for one in labelled} | {name for names in notes.left_out.values() for name in names}
    unlisted = [file.name for file in images if file.name not in known]
    if unlisted:
        notes.leave_out("listed by no table", unlisted)


def patient_column(description: Description) -> str:
    """Return where the tables tell the patient, in words."""
    columns = {name for table in description.tables for name in described_table.columns_of(table.patient)}
    return f"column {' and '.join(sorted(columns))}"
