"""Read all tables of a known data set, and the text files that list its official splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import agreeing, counted
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import decode_text, read_rows
from pneumo_tfds.sources.described_table import Rows, Rules, filled, read_described
from pneumo_tfds.sources.description import (
    COLUMN,
    OWN_DESCRIPTION,
    Description,
    Found,
    TableDescription,
    columns_of_table,
    known_descriptions,
)
from pneumo_tfds.sources.file_index import FileIndex, differs_in_case
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import File, Find, Labelled, NamedReader
from pneumo_tfds.sources.merged_cells import ask_about_cells
from pneumo_tfds.sources.normal_images import ask_about_normal_images
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.table_paths import compare_with_paths, splits_in_folders
from pneumo_tfds.sources.unread_columns import ask_about_unread


@dataclass(frozen=True)
class KnownTables:
    """The tables of a known data set in a folder or an archive."""

    description: Description
    classes: ClassWords
    options: SourceOptions
    files: FileIndex
    """All files, among which the tables are."""
    images: FileIndex
    reader: NamedReader
    notes: SurveyNotes
    """What is left out or doubtful is added here."""
    marked: Counter[str] = field(default_factory=Counter)
    """Where every finding has a column, how many images each marks."""

    def read_all(self, images: Sequence[File]) -> Found:
        """Return those of the images that the tables list, each once; the others are noted as left out.

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
        first: dict[str, Labelled] = {}
        disagreeing = set()
        for one in labelled:
            if replace(first.setdefault(one.file.name, one), where="") != replace(one, where=""):
                disagreeing.add(one.file.name)
        if disagreeing:
            self.notes.leave_out("tables disagree about the image", sorted(disagreeing))
        known = first.keys() | {name for names in self.notes.left_out.values() for name in names}
        if unlisted := [file.name for file in images if file.name not in known]:
            self.notes.leave_out("listed by no table", unlisted)
        return self._found([one for name, one in first.items() if name not in disagreeing])

    def read(self, name: str, table: TableDescription) -> Found:
        """Return the images that the table `name` lists, with their official split."""
        return self._found(self._read(name, table))

    def _found(self, labelled: Sequence[Labelled]) -> Found:
        """Return the images, after their paths were asked about; warn of findings that no row marks."""
        unmarked = [
            name for name, count in self.marked.items() if not count and self.classes.label_of(name) == LABELS[1]
        ]
        if unmarked:
            self.notes.warn(f"no image is marked in the column {' and '.join(unmarked)}, which is to mean {LABELS[1]}")
        columns = sorted({name for table in self.description.tables for name in COLUMN.findall(table.patient)})
        if labelled:
            has_split = any(one.split for one in labelled)
            labelled = compare_with_paths(labelled, self.classes, self.notes, has_split=has_split)
        return Found(labelled, self.description, self.classes, f"column {' and '.join(columns)}")

    def _outermost(self, name: str) -> list[File]:
        """Return all files of a name with `*` or `?`; of one without, the outermost, as the others may be copies."""
        found = self.files.named(name)
        if len(found) < 2 or any(sign in name for sign in "*?["):
            return found
        first, *others = found
        content = self.reader.read_name(first.name)
        if differing := [file for file in others if self.reader.read_name(file.name) != content]:
            self.notes.warn(
                f"{name} is there {len(found)} times; only {first.name} is read, and {differing[0].name} is not; "
                "remove or rename one"
            )
        else:
            self.notes.tell(f"{name} is there {len(found)} times with the same content; {first.name} is read")
        for file in others:
            self.notes.was_read(file.name, tell=False)
        return [first]

    def _doubts(self) -> str:
        """Return what may be the cause that no image has a label."""
        kept = {column: values for table in self.description.tables for column, values in table.keep.items()}
        reasons = [f"{len(names):,} left out: {reason}" for reason, names in self.notes.left_out.items()]
        reasons += [f"only rows are kept with {column} = {' or '.join(values)}" for column, values in kept.items()]
        return "".join(f"; {text}" for text in [*(remark.text for remark in self.notes.remarks[:1]), *reasons[:3]])

    def _read(self, name: str, table: TableDescription) -> list[Labelled]:
        rules = Rules(table, self.classes, self.options.uncertain or self.description.uncertain, marked=self.marked)
        columns, rows = read_rows(self._text(name), name)
        find = self._find(name, table, rows)
        read = read_described(columns, rows, name, rules, find, self.notes)
        if read.missing:
            self._warn_of_missing(name, read.missing, len(rows))
        published = known_descriptions().get(self.description.name) == self.description
        separated = {"label": table.label, "separator": table.separator}
        ask_about_normal_images(read.used, self.classes, self.notes, **separated, published=published)
        if table.label and not published:
            named = {f"named {column}": column for column in columns_of_table(table)}
            split = "" if table.split.startswith("=") else table.split
            roles = {"label": table.label, "patient": (COLUMN.findall(table.patient) or [""])[0], "split": split}
            chosen = named | {role: column for role, column in roles.items() if column}
            ask_about_cells(rows, chosen, self.notes)
            ask_about_unread(read.used, chosen, self.classes, self.notes, described=True)
        return self._with_split_lists(read.images, table)

    def _find(self, name: str, table: TableDescription, rows: Rows) -> Find:
        """Return what finds the images of a table: from its own folder, or from one above it if none is there.

        All paths of a table are relative to one folder, so that images of one name are not mixed up.
        """
        if table.anywhere:
            return self.images.anywhere
        beside = name.rpartition("/")[0]
        paths = [filled(table.image, row) for _, row in rows]
        folder = beside
        while folder and not any(map(self.images.below(folder), paths)):
            folder = folder.rpartition("/")[0]
        find = self.images.below(folder)
        if folder == beside:
            return find
        if not any(map(find, paths)):
            return self.images.below(beside)
        self.notes.tell(
            f"{name}: its paths lead to images from {folder or 'the folder of the source'}, not from its own"
        )
        return find

    def _warn_of_missing(self, name: str, missing: Sequence[str], rows: int) -> None:
        hint = ""
        if like := next(filter(None, map(self.images.alike, missing)), None):
            own = f"a description of your own can name another suffix or folder in image, see {OWN_DESCRIPTION}"
            hint = f"; {like.name} is like one of them: {own}"
            if any(differs_in_case(path, like) for path in missing):
                hint = f"; {like.name} is one of them but for letter case; correct it in the table"
        others = "; the others are used" if len(missing) < rows else ""
        self.notes.warn(
            f"{name}: {len(missing):,} of {counted(rows, 'row')} "
            f"{agreeing(len(missing), 'names an image that is', 'name images that are')} not there, the first "
            f"{missing[0]}{others}{hint}"
        )

    def _text(self, name: str) -> str:
        text = decode_text(self.reader.read_name(name), name)
        self.notes.was_read(name)
        return text

    def _with_split_lists(self, rows: list[Labelled], table: TableDescription) -> list[Labelled]:
        """Return the images with the split that text files list them in; without such a file nothing is changed.

        Where no list is of training images and every name in the lists leads to an image, the others are for training.

        Raises:
            InputError: an image is in the lists of two splits, or a name could mean two images.
        """
        files = {pattern: self._outermost(pattern) for pattern in table.lists.values()}
        names = {
            file.name: (split, _names(self._text(file.name)))
            for split, pattern in table.lists.items()
            for file in files[pattern]
        }
        if missing := " and ".join(pattern for pattern, found in files.items() if not found):
            by_folders = max(map(len, splits_in_folders(rows)), default=0) == 1
            anew = "takes the splits that folders name" if by_folders else "divides the images anew"
            without = "takes images in no list for training" if names else anew
            self.notes.ask(f"the official split is not there: {missing}; --yes {without}; add the list")
        if not names:
            return rows
        found, all_known = self._listed({one.file.name for one in rows}, names)
        rest = "" if "train" in {split for split, _ in names.values()} or not all_known else "train"
        if rest and len(found) < len(rows):
            self.notes.tell(f"{counted(len(rows) - len(found), 'image')} in no list are for training")
        return [replace(one, split=found.get(one.file.name, (one.split or rest, ""))[0]) for one in rows]

    def _listed(
        self, labelled: set[str], lists: Mapping[str, tuple[str, list[str]]]
    ) -> tuple[dict[str, tuple[str, str]], bool]:
        """Return image to split and list, and whether all names in the lists lead to images, labelled or not."""
        found: dict[str, tuple[str, str]] = {}
        all_known = True
        for file, (split, names) in lists.items():
            known = 0
            for name in names:
                alike = self._named_in_list(name)
                known += bool(alike)
                meant = [one for one in alike if one in labelled]
                if len(meant) > 1:
                    raise InputError(
                        f"{file}: {name} could mean {meant[0]} or {meant[1]}; write the folder and suffix into the list"
                    )
                for one in meant:
                    other, first = found.setdefault(one, (split, file))
                    if other != split:
                        raise InputError(f"{one} is listed for {other} in {first} and for {split} in {file}; keep one")
            all_known = all_known and known == len(names)
            if known:
                self.notes.tell(
                    f"{file}: {known:,} of {counted(len(names), 'name')} "
                    f"{agreeing(known, 'leads to an image, which is', 'lead to images, which are')} of {split}"
                )
            else:
                first = f"the first name in it is {names[0]!r:.60}" if names else "it is empty"
                self.notes.ask(
                    f"{file} names no image that is here ({first}); --yes goes on without it; write one file name a "
                    "line, or add its images"
                )
        return found, all_known

    def _named_in_list(self, name: str) -> list[str]:
        """Return the images whose path ends like `name`, or a part of it; else those of that name but for suffix."""
        parts = name.split("/")
        endings = (self.images.ending("/".join(parts[first:])) for first in range(len(parts)))
        return [file.name for file in next(filter(None, endings), None) or self.images.of_stem(name)]


def _names(text: str) -> list[str]:
    """Return the paths that a text lists, one a line."""
    return [name for line in text.splitlines() if (name := line.strip().replace("\\", "/").strip("/"))]
