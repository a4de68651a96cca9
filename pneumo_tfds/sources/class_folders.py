"""Read the folders inside the folder of a class: splits, subtypes, patients, visits, and what is not understood."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources import numbering, words
from pneumo_tfds.sources.identifiers import normal_identifier
from pneumo_tfds.sources.image_kinds import role_in, role_of_name
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import File, Labelled
from pneumo_tfds.sources.survey import SurveyNotes, listed

Folders = tuple[str, ...]

PATIENT, VISIT = "{patient}", "{visit}"
"""What stands in the survey for the folders of patients and of their visits."""


@dataclass(frozen=True)
class InClass:
    """A file in the folder of a class, before the folders inside it are understood."""

    file: File
    label: str
    above: Folders
    """Folders that the label folder lies in."""
    label_folder: str
    below: Folders
    """Folders between the label folder and the file."""

    @property
    def place(self) -> Folders:
        """The folders above the label that are no splits."""
        return tuple(name for name in self.above if not words.split_of(name))


@dataclass(frozen=True)
class _Level:
    """What the names of all folders of one depth mean together, where it does not follow from a word in them."""

    patients: frozenset[str]
    is_one: bool
    """All images lie in the same folder of this depth."""


def read_class_folders(
    found: Sequence[InClass], splits: Callable[[InClass], Iterator[str]], notes: SurveyNotes
) -> list[Labelled]:
    """Return what the folders say of each file; `splits` gives the splits that folders name.

    Raises:
        InputError: the folders of a file name two splits.
    """
    levels = _levels(one.below for one in found)
    placed, unclear = [], Counter[str]()
    for one in found:
        if any(role_in(name) == "view" for name in one.below):
            notes.leave_out("lateral or oblique views, by their folder", one.file.name)
            continue
        if role_of_name(one.file.stem) == "view":
            notes.leave_out("lateral or oblique views, by the name of the file", one.file.name)
            continue
        named = sorted(set(splits(one)))
        if len(named) > 1:
            raise InputError(f"{one.file.name}: its folders name two splits, {' and '.join(named)}; keep one")
        split = "".join(named)
        patient, shown, not_understood = _read(one.below, levels)
        if one.label == LABELS[0]:  # a folder of virus or bacteria is at home in the other class alone
            apart = (name for depth, name in enumerate(one.below) if not levels[depth].is_one)
            not_understood += filter(words.subtype_of, apart)
        unclear.update(f"{one.label_folder}/{name}" for name in not_understood)
        placed.append(
            Labelled(
                one.file,
                one.label,
                split,
                normal_identifier(patient),
                next(filter(None, map(words.subtype_of, one.below)), ""),
                "/".join((*one.above, one.label_folder, *shown)),
            )
        )
    if unclear:
        notes.ask(
            f"folders inside a class are not understood: {listed(unclear)}; --yes takes their images like the "
            "others of the class; if they are splits, name them train, val and test; if they are patients, give a CSV "
            "of path,label,patient; if they are no X-rays or of the other class, take them out or move them"
        )
    return placed


def patient_folders(files: Iterable[File]) -> dict[str, str]:
    """Return file name to the patient by its folder, for files that a table lists; none where no level is patients."""
    below = {file.name: file.folders for file in files}
    levels = _levels(below.values())
    told = {name: normal_identifier(_read(folders, levels)[0]) for name, folders in below.items()}
    return {name: patient for name, patient in told.items() if patient}


def not_understood(paths: Sequence[Folders]) -> Counter[str]:
    """Return the folders of paths in a table whose names say nothing known, with how many images lie in each."""
    levels = _levels(paths)
    found = Counter(name for folders in paths for name in _read(folders, levels)[2])
    return Counter({name: n for name, n in found.items() if not (numbering.is_date(name) or numbering.is_site(name))})


def _levels(paths: Iterable[Folders]) -> dict[int, _Level]:
    names: dict[int, set[str]] = defaultdict(set)
    for path, depth in itertools.product(different := set(paths), range(max(map(len, different), default=0))):
        names[depth].add(path[depth] if depth < len(path) else "")
    levels = {depth: _Level(frozenset(_patients_among(found)), len(found) == 1) for depth, found in names.items()}
    for outer, inner in itertools.combinations(levels, 2):
        pairs = {(path[outer], path[inner]) for path in different if len(path) > inner}
        if all(map(_begins, *zip(*pairs, strict=True))):
            levels[outer] = _Level(frozenset(), levels[outer].is_one)
    return levels


def _begins(outer: str, inner: str) -> bool:
    """Return whether a folder holds the patients whose numbers begin with its own, as `p10/p10000032` in MIMIC-CXR."""
    return re.fullmatch("[0-9]{3,}", inner.removeprefix(outer)) is not None and inner.startswith(outer)


def _is_known(name: str) -> bool:
    known = (words.split_of, words.subtype_of, words.is_mask, words.is_filler, numbering.is_visit)
    return any(knows(name) for knows in known)


def _patients_among(names: set[str]) -> set[str]:
    """Return the folders of one level that are patients."""
    unknown = {name for name in names if name and not _is_known(name)} | numbering.birth_numbers(names)
    numbered = {name for name in unknown if any(c.isdecimal() for c in name)}
    groups = (numbering.are_counted(numbered), unknown - numbered)
    return {name for group in groups if numbering.are_identifiers(group) for name in group}


def _read(folders: Folders, levels: dict[int, _Level]) -> tuple[str, list[str], list[str]]:
    """Return the patient of a path, its folders as the survey shows them, and those that are not understood.

    A folder that all images lie in tells none apart. Above a patient's folders there may be years, and in them those
    of examinations, with numbers of any kind.
    """
    inside = next((depth for depth, name in enumerate(folders) if name in levels[depth].patients), len(folders))
    patient = "".join(folders[inside : inside + 1])
    shown, not_understood = [], []
    for depth, name in enumerate(folders):
        if depth == inside:
            shown.append(PATIENT)
        elif numbering.is_visit(name) or (depth > inside and not _is_known(name) and _is_examination(name)):
            shown.append(VISIT)
        else:
            shown.append(name)
            is_above = bool(patient) and (numbering.is_date(name) or _begins(name, patient))
            if not (_is_known(name) or is_above or (levels[depth].is_one and not words.may_be_split(name))):
                not_understood.append(name)
    return patient, shown, not_understood


def _is_examination(name: str) -> bool:
    """Return whether a folder inside that of a patient is named like one of their examinations or series."""
    return any(map(str.isdecimal, name)) or numbering.is_examination(name)
