"""Read the folders inside the folder of a class: splits, subtypes, patients, visits, and what is not understood."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources import words
from pneumo_tfds.sources.identifiers import normal_identifier
from pneumo_tfds.sources.listing import File, Labelled
from pneumo_tfds.sources.survey import SurveyNotes, listed

Folders = tuple[str, ...]

SHOWN = 8
"""Folders that a message lists."""

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
    """The names of all folders of one depth whose meaning does not follow from a word in them."""

    names: frozenset[str]
    patients: frozenset[str]


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
        if any(map(words.is_lateral, one.below)):
            notes.leave_out("lateral or oblique views, by their folder", one.file.name)
            continue
        if words.is_lateral_file(one.file.name.rpartition("/")[2]):
            notes.leave_out("lateral or oblique views, by the name of the file", one.file.name)
            continue
        patient, shown, not_understood = _read(one.below, levels)
        unclear.update(f"{one.label_folder}/{name}" for name in not_understood)
        placed.append(
            Labelled(
                one.file,
                one.label,
                _only_split(one, splits),
                normal_identifier(patient),
                next(filter(None, map(words.subtype_of, one.below)), ""),
                "/".join((*one.above, one.label_folder, *shown)),
            )
        )
    if unclear:
        notes.ask(
            f"folders inside a class are not understood: {listed(unclear, SHOWN)}; --yes takes their images like the "
            "others of the class; if they are splits, name them train, val and test; if they are patients, give a CSV "
            "of path,label,patient; if they are no X-rays, take them out"
        )
    return placed


def patient_folders(files: Iterable[File]) -> dict[str, str]:
    """Return file name to the patient by its folder, for files that a table lists; none where no level is patients."""
    below = {file.name: file.folders for file in files}
    levels = _levels(below.values())
    told = {name: normal_identifier(_read(folders, levels)[0]) for name, folders in below.items()}
    return {name: patient for name, patient in told.items() if patient}


def _levels(paths: Iterable[Folders]) -> dict[int, _Level]:
    names: dict[int, set[str]] = defaultdict(set)
    for path in set(paths):
        for depth, name in enumerate(path):
            if not _is_known(name):
                names[depth].add(name)
    return {depth: _Level(frozenset(found), frozenset(_patients_among(found))) for depth, found in names.items()}


def _is_known(name: str) -> bool:
    known = (words.split_of, words.subtype_of, words.is_mask, words.is_lateral, words.is_filler, words.is_visit)
    return any(knows(name) for knows in known)


def _patients_among(names: set[str]) -> set[str]:
    """Return the folders of one level that are patients."""
    numbered = {name for name in names if any(c.isdecimal() for c in name)}
    groups = (words.are_counted(numbered), names - numbered)
    return {name for group in groups if words.are_identifiers(group) for name in group}


def _read(folders: Folders, levels: dict[int, _Level]) -> tuple[str, list[str], list[str]]:
    """Return the patient of a path, its folders as the survey shows them, and those that are not understood."""
    patient, shown, not_understood = "", [], []
    for depth, name in enumerate(folders):
        if _is_known(name):
            shown.append(VISIT if words.is_visit(name) else name)
        elif name in levels[depth].patients and not patient:
            patient = name
            shown.append(PATIENT)
        elif name in levels[depth].patients or (patient and words.is_date(name)):
            shown.append(VISIT)
        else:
            shown.append(name)
            not_understood.append(name)
    return patient, shown, not_understood


def _only_split(one: InClass, splits: Callable[[InClass], Iterator[str]]) -> str:
    named = set(splits(one))
    if len(named) > 1:
        raise InputError(f"{one.file.name}: its folders name two splits, {' and '.join(sorted(named))}; keep one")
    return named.pop() if named else ""
