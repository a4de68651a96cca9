"""Descriptions of data sets: which folders or columns hold label, patient and split, read from small TOML files."""

from __future__ import annotations

import fnmatch
import functools
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from importlib.resources import files as resource_files
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.inventory import Validation
from pneumo_tfds.sources.listing import File, Labelled
from pneumo_tfds.sources.source_options import Uncertain
from pneumo_tfds.sources.words import composed, plain_name

OWN_DESCRIPTION = "docs/how-to/bring-your-own-xrays.md"
"""Where it is said how somebody describes data of their own."""

NAMES_SHARE = 0.9
"""Share of the image files whose names must follow a description's pattern, if it is recognised by names."""

COLUMN = re.compile(r"\{(.*?)\}")
"""A column in a text such as `{ImageDir}/{ImageID}`."""

Made = TypeVar("Made")

Named = tuple[str, Sequence[str]]
"""The file name of a table, and its columns."""


@dataclass(frozen=True)
class TableDescription:
    """A table that lists the images of a data set."""

    file: str
    """Its name; `*` and `?` stand for any text and character."""
    image: str
    """Path of an image relative to the table: a column such as `{path}`, or a text with columns in it."""
    label: str = ""
    """Column of the label. Empty: every finding has a column, which holds 1 where it is present; the names of classes
    are names of columns then."""
    separator: str = ""
    """What separates several findings in one cell."""
    anywhere: bool = False
    """Look for images by their file name in all folders."""
    patient: str = ""
    """A column, or a text with columns in it; empty if the table names no patients."""
    split: str = ""
    """Column of the split; or the split of all rows, as `=test`."""
    keep: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Column to the values of rows that are used, in any letter case; rows with others are left out."""
    lists: dict[Literal["train", "val", "test"], str] = field(default_factory=dict)
    """Split to the name of a text file that lists its images, one a line."""
    columns: tuple[str, ...] = ()
    """Further columns that it must have, where another data set has a table of the same name."""


def columns_of_table(table: TableDescription) -> set[str]:
    """Return the columns that a description names."""
    single = {table.label, "" if table.split.startswith("=") else table.split} - {""}
    return {*COLUMN.findall(table.image), *COLUMN.findall(table.patient), *table.keep, *table.columns, *single}


@dataclass(frozen=True)
class Description:
    """A known data set."""

    name: str
    """As `--layout` names it."""
    title: str
    homepage: str = ""
    recognised_by_names: str = ""
    """Regular expression that nearly all images in folders of the classes match, as `FOLDER/name.jpeg`; a data set with
    tables is recognised by their names and columns."""
    marker: str = ""
    """Name of a file among the images that says what they are, whatever they are called."""
    negative: tuple[str, ...] = ("NORMAL",)
    """Labels, in folders or cells, that mean NORMAL."""
    positive: tuple[str, ...] = ("PNEUMONIA",)
    """Labels that mean PNEUMONIA."""
    uncertain: Uncertain = "left_out"
    """What a finding marked -1 counts as."""
    validation: Validation = "given"
    """`redrawn`: the images of `train` and `val` are divided anew by patient."""
    test_patients: Literal["same", "apart"] = "same"
    """`apart`: the test folder holds other people, though their identifiers begin again."""
    notes: tuple[str, ...] = ()
    """What somebody who trains on this data set must know."""
    warnings: tuple[str, ...] = ()
    """Likewise, of what may make results wrong; `--strict` takes them as errors."""
    tables: tuple[TableDescription, ...] = ()
    """The tables; empty if folders hold the classes."""

    def table_of(self, name: str, columns: Sequence[str]) -> TableDescription | None:
        """Return the description of a table by its file name and columns; None if there is none."""
        named = (table for table in self.tables if fnmatch.fnmatch(composed(name), table.file))
        return next((table for table in named if columns_of_table(table) <= set(columns)), None)


FOLDERS = Description("folders", "folders named like the classes")
"""What a source is read by that is no known data set; `--layout folders` does not look for one."""


TABLE = Description("table", "a table of images")
"""What a table is read by that is of no known data set."""


@dataclass(frozen=True)
class Found:
    """What folders or tables say of the images of a source."""

    labelled: Sequence[Labelled]
    description: Description
    classes: ClassWords
    column: str = ""
    """The column of a table that tells the patients, in words; empty for folders."""

    @property
    def in_table(self) -> bool:
        """Whether a table lists the images."""
        return bool(self.column) or bool(self.description.tables)


def read_description(path: Path) -> Description:
    """Read a description from a TOML file.

    Raises:
        InputError: the file cannot be read, or a key is unknown, missing or of another type. The message names it.
    """
    try:
        values = tomllib.loads(composed(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)}); pass a TOML file to --layout") from error
    except ValueError as error:
        place = re.search(r"\(at (line [0-9]+, column [0-9]+)\)", str(error))
        where = f" in {place[1]}" if place else ""
        raise InputError(f"{path}: is no TOML{where}; {OWN_DESCRIPTION} has an example") from error
    tables = values.pop("tables", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"{path}: tables must be written as [[tables]]")
    made = tuple(_with_braces(_make(TableDescription, table, path)) for table in tables)
    description = _make(Description, {**values, "tables": made}, path)
    try:
        re.compile(description.recognised_by_names)
    except re.error as error:
        raise InputError(f"{path}: recognised_by_names is no regular expression; correct it") from error
    for table in made:
        if table.split.startswith("=") and table.split[1:] not in ("train", "val", "test"):
            raise InputError(f"{path}: split is {table.split!r}; it must be a column, or =train, =val or =test")
    return description


def _with_braces(table: TableDescription) -> TableDescription:
    """Return a table in which a text without braces, such as `mrn`, is the column `{mrn}`."""
    image, patient = (f"{{{text}}}" if text and "{" not in text else text for text in (table.image, table.patient))
    return replace(table, image=image, patient=patient)


def _make(kind: type[Made], values: dict[str, Any], path: Path) -> Made:
    """Return a dataclass made from values of a TOML file, after checking each against the type of its field."""
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(known)):
        raise InputError(f"{path}: unknown key {unknown[0]!r}; use {', '.join(sorted(known))}")
    needed = [name for name, one in known.items() if one.default is MISSING and one.default_factory is MISSING]
    if missing := [name for name in needed if name not in values]:
        raise InputError(f"{path}: the key {missing[0]} is missing; add it")
    made = {name: _frozen(value) for name, value in values.items()}
    for name, value in made.items():
        if wanted := _wanted(value, hints[name]):
            raise InputError(f"{path}: {name} is {values[name]!r}; it must be {wanted}")
    return kind(**made)


def _frozen(value: Any) -> Any:
    """Return lists as tuples, also inside tables."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return {key: _frozen(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _wanted(value: Any, hint: Any) -> str:
    """Return what a value must look like in TOML to have the type of a field; empty if it has it."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Literal:
        fits, example = value in inner, " or ".join(f'"{choice}"' for choice in inner)
    elif kind is tuple:
        fits = isinstance(value, tuple) and not any(_wanted(one, inner[0]) for one in value)
        example = '["text", "text"]'
    elif kind is dict:
        pairs = value.items() if isinstance(value, dict) else [(None, None)]
        fits = not any(_wanted(key, inner[0]) or _wanted(one, inner[1]) for key, one in pairs)
        example = f"{{ {'column' if inner[0] is str else 'split'} = {_wanted(None, inner[1])} }}"
    else:
        fits, example = isinstance(value, hint), "true or false" if hint is bool else '"text"'
    return "" if fits else example


@functools.cache
def known_descriptions() -> dict[str, Description]:
    """Return the descriptions that come with the package, by name."""
    folder = resource_files("pneumo_tfds.sources").joinpath("known")
    found = [read_description(Path(str(file))) for file in folder.iterdir() if file.name.endswith(".toml")]
    return {description.name: description for description in sorted(found, key=lambda description: description.name)}


def choose_description(layout: str) -> Description:
    """Return the description of a name, or of a TOML file.

    Raises:
        InputError: there is none of that name.
    """
    known = {FOLDERS.name: FOLDERS, **known_descriptions()}
    if layout in known:
        return known[layout]
    if layout.endswith(".toml"):
        return read_description(Path(layout).expanduser())
    raise InputError(f"--layout {layout}: no such layout; use {', '.join(known)} or a .toml file")


def is_marker(file: File) -> bool:
    """Return whether a file only says which known data set the images around it are of."""
    return any(file.name.rpartition("/")[2] == one.marker for one in known_descriptions().values())


def _is_marked(marker: str, files: Sequence[File], images: Sequence[File]) -> bool:
    places = tuple(file.name.removesuffix(marker) for file in files if f"/{file.name}".endswith(f"/{marker}"))
    return bool(places) and all(image.name.startswith(places) for image in images)


def recognise(files: Sequence[File], images: Sequence[File], tables: Sequence[Named]) -> list[Description]:
    """Return the known data sets that the images, or the tables with their names and columns, look like.

    A marker among `files` decides alone, if it lies above all images.
    """
    marked = [one for one in known_descriptions().values() if one.marker and _is_marked(one.marker, files, images)]
    return marked or [
        one
        for one in known_descriptions().values()
        if any(one.table_of(name, columns) for name, columns in tables)
        or (one.recognised_by_names and _has_names(one, images))
    ]


def _has_names(description: Description, images: Iterable[File]) -> bool:
    """Return whether the images in folders of the classes are named as the description says."""
    classes = {plain_name(name) for name in (*description.negative, *description.positive)}
    pattern = re.compile(description.recognised_by_names, re.IGNORECASE)
    inside = matching = 0
    for image in images:
        parts = image.name.split("/")
        if not classes.isdisjoint(map(plain_name, parts[:-1])):
            inside += 1
            matching += bool(pattern.match("/".join(parts[-2:])))
    return inside > 0 and matching >= NAMES_SHARE * inside
