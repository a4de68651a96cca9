"""Find label, split and patient of images from the folders that they are in.

A label is a folder that has its counterpart beside it: NORMAL and PNEUMONIA are siblings, once or in every split. What
lies beside them or in folders that are not understood is left out and named, or the user is asked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import words
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import File, Labelled
from pneumo_tfds.sources.survey import SurveyNotes

Folders = tuple[str, ...]

SHOWN = 8
"""Folders that a message lists."""


@dataclass(frozen=True)
class ClassWords:
    """Names that mean a class: of folders, or in the label column of a table."""

    negative: tuple[str, ...] = ("NORMAL",)
    positive: tuple[str, ...] = ("PNEUMONIA",)

    def __post_init__(self) -> None:
        both = {words.plain_name(name) for name in self.negative} & {words.plain_name(name) for name in self.positive}
        if both:
            raise InputError(f"{min(both)!r} is given to --positive and to --negative; give it to one")

    def label_of(self, name: str) -> str:
        """Return `NORMAL` or `PNEUMONIA` if the name means one of them; else empty."""
        plain = words.plain_name(name)
        for label, names in zip(LABELS, (self.negative, self.positive), strict=True):
            if plain in map(words.plain_name, names):
                return label
        return ""

    def in_words(self) -> str:
        """Return the two groups of names for a message."""
        return f"{' or '.join(self.negative)} and {' or '.join(self.positive)}"


@dataclass(frozen=True)
class _Found:
    """A file below a label folder, before the other folders are understood."""

    file: File
    label: str
    above: Folders
    label_folder: str
    below: Folders


def read_folders(files: Sequence[File], classes: ClassWords, notes: SurveyNotes) -> list[Labelled]:
    """Return what the folders say of each image, in order of names; files that are left out are noted.

    Raises:
        InputError: no two folders of the classes are side by side, or folders contradict one another.
    """
    sets = _label_sets(files, classes)
    found = _without_copies(_below_labels(files, sets, classes, notes), notes)
    _ask_about_places(found, notes)
    _ask_about_split_words_in_labels(found, notes)
    placed = _read_below(found, notes)
    _ask_about_missing_splits(placed, notes)
    return sorted(placed, key=lambda place: place.file.name)


def _label_sets(files: Iterable[File], classes: ClassWords) -> set[Folders]:
    """Return the folders that hold folders of both classes, and those of other splits that hold one of them."""
    children: dict[Folders, set[str]] = defaultdict(set)
    for folders in {_folders(file) for file in files}:
        for depth, name in enumerate(folders):
            children[folders[:depth]].add(name)
    labels = {parent: {classes.label_of(name) for name in names} - {""} for parent, names in children.items()}
    complete = {parent for parent, found in labels.items() if len(found) == len(LABELS)}
    skeletons = {_skeleton(parent) for parent in complete}
    sets = complete | {parent for parent, found in labels.items() if found and _skeleton(parent) in skeletons}
    for parent in sets:
        for depth in range(len(parent)):
            if parent[:depth] in sets and classes.label_of(parent[depth]):
                raise InputError(
                    f"{'/'.join(parent)} holds folders of both classes and lies in {'/'.join(parent[: depth + 1])}, a "
                    "class itself; pass the inner folder as --source, or a CSV of path,label,patient"
                )
    return sets


def _folders(file: File) -> Folders:
    return tuple(file.name.split("/")[:-1])


def _skeleton(folders: Folders) -> Folders:
    """Return folders with every split in place of its name, so that those of other splits compare equal."""
    return tuple("{split}" if words.split_of(name) else name for name in folders)


def _below_labels(files: Iterable[File], sets: set[Folders], classes: ClassWords, notes: SurveyNotes) -> list[_Found]:
    found, elsewhere, neighbours = [], defaultdict[str, list[str]](list), Counter[str]()
    for file in files:
        folders = _folders(file)
        depth = next((depth for depth in range(len(folders) + 1) if folders[:depth] in sets), None)
        if depth is None:
            elsewhere[_why_in_no_set(folders, classes)].append(file.name)
        elif depth == len(folders):
            elsewhere["beside the folders of the classes, in none of them"].append(file.name)
        elif label := classes.label_of(folders[depth]):
            found.append(_Found(file, label, folders[:depth], folders[depth], folders[depth + 1 :]))
        else:
            folder = "/".join(folders[: depth + 1])
            neighbours[folder] += 1
            elsewhere[f"in the folder {folder}, which is no class"].append(file.name)
    _note_left_out(elsewhere, notes)
    if found and neighbours:
        names = [name for name in neighbours if not words.is_mask(name)]
        if names:
            listed = ", ".join(f"{name} ({counted(neighbours[name], 'image')})" for name in names[:SHOWN])
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            notes.warn(
                f"left out, because they are neither {classes.in_words()}: {listed}{more}; to use them, name such "
                "folders with --positive NAME... or --negative NAME..."
            )
    return found


def _why_in_no_set(folders: Folders, classes: ClassWords) -> str:
    for depth, name in enumerate(folders):
        if classes.label_of(name):
            return f"in {'/'.join(folders[: depth + 1])}, which has no folder of the other class beside it"
    return f"in no folder of a class, but in {folders[0]}" if folders else "in no folder of a class"


def _note_left_out(elsewhere: dict[str, list[str]], notes: SurveyNotes) -> None:
    ordered = sorted(elsewhere.items(), key=lambda item: -len(item[1]))
    for reason, names in ordered[:SHOWN]:
        notes.leave_out(reason, names)
    for _, names in ordered[SHOWN:]:
        notes.leave_out("in other folders that are no class", names)


def explain_no_classes(files: Iterable[File], classes: ClassWords, tables: Sequence[str]) -> str:
    """Return why no class was found in folders: which folders are there, and what to do."""
    if tables:
        return f"no folders {classes.in_words()} side by side, but {tables[0]} lists images; pass it as --source"
    counts = Counter(_folders(file)[-1] if _folders(file) else "." for file in files)
    listed = ", ".join(f"{name} ({count:,})" for name, count in counts.most_common(SHOWN))
    more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    return (
        f"no folders {classes.in_words()} side by side; the images are in {listed}{more}; name the classes with "
        "--positive NAME... --negative NAME..., or pass a CSV of path,label,patient"
    )


def _without_copies(found: Iterable[_Found], notes: SurveyNotes) -> list[_Found]:
    """Leave out the same file nested deeper: Kaggle's zip holds everything twice."""
    kept: dict[tuple[object, ...], list[_Found]] = defaultdict(list)
    for one in sorted(found, key=lambda one: (one.file.name.count("/"), one.file.name)):  # a nested copy comes second
        name = one.file.name.rpartition("/")[2]
        splits = tuple(words.split_of(part) for part in one.above if words.split_of(part))
        alike = kept[splits, one.label, one.below, name, one.file.size, one.file.checksum]
        above = _place(one.above)
        if any(len(above) > len(_place(other.above)) and above[: len(_place(other.above))] == _place(other.above)
               for other in alike):  # fmt: skip
            notes.leave_out("second nested copy", one.file.name)
        else:
            alike.append(one)
    return [one for alike in kept.values() for one in alike]


def _place(above: Folders) -> Folders:
    """Return the folders above a label that are no splits."""
    return tuple(name for name in above if not words.split_of(name))


def _ask_about_places(found: Sequence[_Found], notes: SurveyNotes) -> None:
    """Ask if the classes lie in several folders whose names are not understood: they may be splits or hospitals."""
    places = Counter(tuple(name for name in _place(one.above) if not words.is_filler(name)) for one in found)
    if len(places) > 1:
        listed = ", ".join(
            f"{'/'.join(place) or 'the folders outside'} ({counted(count, 'image')})"
            for place, count in places.most_common(SHOWN)
        )
        notes.ask(
            f"the classes lie in {len(places)} places whose names are not understood: {listed}; --yes takes them "
            "together; if they are splits, name them train, val and test; else pass one of them as --source"
        )


def _ask_about_split_words_in_labels(found: Sequence[_Found], notes: SurveyNotes) -> None:
    names = sorted({one.label_folder for one in found if words.has_split_word(one.label_folder)})
    if names:
        notes.ask(
            f"the names of classes hold words for splits, which are not read there: {', '.join(names[:SHOWN])}; --yes "
            "takes them as classes alone; else put them into folders train, val and test, or pass a CSV with a column "
            "split"
        )


def _read_below(found: Sequence[_Found], notes: SurveyNotes) -> list[Labelled]:
    """Read the folders between the label and the file: splits, subtypes, masks, patients."""
    levels: dict[tuple[str, int], set[str]] = defaultdict(set)
    for one in found:
        for depth, name in _open_names(one):
            levels[one.label, depth].add(name)
    patients = {key: _patients_among(names) for key, names in levels.items()}
    placed, not_understood = [], Counter[tuple[str, str]]()
    for one in found:
        if any(map(words.is_mask, one.below)):
            notes.leave_out("in folders of masks or the like, by their name", one.file.name)
            continue
        if any(map(words.is_lateral, one.below)):
            notes.leave_out("lateral or oblique views, by their folder", one.file.name)
            continue
        patient = next((name for depth, name in _open_names(one) if name in patients[one.label, depth]), "")
        for depth, name in _open_names(one):
            if name != patient and not patient and name not in patients[one.label, depth]:
                not_understood[one.label_folder, name] += 1
        placed.append(
            Labelled(
                one.file,
                one.label,
                _split(one),
                patient,
                next(filter(None, map(words.subtype_of, one.below)), ""),
                "/".join((*one.above, one.label_folder, *(["{patient}"] if patient else []))),
            )
        )
    if not_understood:
        listed = ", ".join(f"{'/'.join(key)} ({counted(n, 'image')})" for key, n in not_understood.most_common(SHOWN))
        notes.ask(
            f"folders inside a class are not understood: {listed}; --yes takes their images like the others of the "
            "class; if they are splits, name them train, val and test; if they are patients, give a CSV of "
            "path,label,patient"
        )
    return placed


def _open_names(one: _Found) -> list[tuple[int, str]]:
    """Return depth and name of the folders below the label whose meaning does not follow from a word in them."""
    known = (words.split_of, words.subtype_of, words.is_mask, words.is_lateral, words.is_filler, words.is_visit)
    return [(depth, name) for depth, name in enumerate(one.below) if not any(knows(name) for knows in known)]


def _patients_among(names: set[str]) -> set[str]:
    """Return the folders of one level that are patients."""
    numbered = {name for name in names if any(c.isdecimal() for c in name)}
    return {name for group in (numbered, names - numbered) if group and words.are_identifiers(group) for name in group}


def _split(one: _Found) -> str:
    splits = {split for name in (*one.above, *one.below) if (split := words.split_of(name))}
    if len(splits) > 1:
        raise InputError(f"{one.file.name}: its folders name two splits, {' and '.join(sorted(splits))}; keep one")
    return splits.pop() if splits else ""


def _ask_about_missing_splits(placed: Sequence[Labelled], notes: SurveyNotes) -> None:
    without = [place for place in placed if not place.split]
    if without and len(without) < len(placed):
        folders = ", ".join(sorted({place.where for place in without})[:SHOWN])
        notes.ask(
            f"{counted(len(without), 'image')} in {folders} are in no split, though others are in train, val or test; "
            "--yes takes them for training; else move them into one of these folders"
        )


def patient_folders(files: Iterable[File]) -> dict[str, str]:
    """Return file name to the folder of its patient, for files that a table lists; none where no level is patients."""
    levels: dict[int, set[str]] = defaultdict(set)
    found = [_Found(file, "", (), "", _folders(file)) for file in files]
    for one in found:
        for depth, name in _open_names(one):
            levels[depth].add(name)
    patients = {depth: _patients_among(names) for depth, names in levels.items() if len(names) > 1}
    told = {}
    for one in found:
        if name := next((name for depth, name in _open_names(one) if name in patients.get(depth, ())), ""):
            told[one.file.name] = name
    return told
