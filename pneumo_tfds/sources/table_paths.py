"""Find the files of the paths in a table, and read what the folders in these paths say of split and label."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.class_folders import not_understood
from pneumo_tfds.sources.classes import ClassWords, class_told
from pneumo_tfds.sources.file_index import FileIndex, differs_in_case
from pneumo_tfds.sources.image_kinds import role_in
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.layout_questions import (
    ask_about_classes_in_names,
    ask_about_folds,
    ask_about_names,
    ask_about_split_words_in_files,
)
from pneumo_tfds.sources.listing import IMAGE_SUFFIXES, File, Find, Labelled
from pneumo_tfds.sources.survey import SurveyNotes, listed
from pneumo_tfds.sources.words import composed, is_mask, may_be_split, split_of, split_words_in, subtype_of, words_of

MOST_PARTS = 4
"""Most folders of no known meaning that may be the parts of a split; more are sites, days or people."""

_TELL_SPLITS = "rename them train, val and test, or add a column split, which a description must name"


def find_all(paths: Iterable[str], find: Find, everywhere: Callable[[], FileIndex], notes: SurveyNotes) -> Find:
    """Return a function that finds the file of each path.

    A path that `find` does not know is looked for at the end of the paths of all files below the table. That function
    raises InputError if several end so, or none; it names one that is alike.
    """
    found = {path: find(path) if path else None for path in paths}
    missing = [path for path, file in found.items() if file is None]
    if not missing:
        return found.get
    index = everywhere()
    endings = {path: index.ending(path) if path else [] for path in missing}
    if all(len(files) == 1 for files in endings.values()):
        notes.tell(
            f"{counted(len(missing), 'path of the table leads', 'paths of the table lead')} to no file, but each is "
            f"there once below its folder, the first as {endings[missing[0]][0].name}; these are used"
        )

    def look(path: str) -> File | None:
        files = endings.get(path, [])
        if len(files) > 1:
            raise InputError(
                f"there is no file {path!r} beside the table, but {files[0].name} and {files[1].name}; write the "
                "folder into the path"
            )
        if path in endings and not files and (like := index.alike(path)):
            what = "letter case" if differs_in_case(path, like) else "folder, suffix or letter case"
            raise InputError(f"there is no file {path!r}, but {like.name}; correct the {what} in the table")
        if not files and not found.get(path):
            raise InputError(f"there is no file {path!r}; correct the path, which is relative to the table")
        return files[0] if files else found[path]

    return look


def leave_out_unlisted(listed_names: Iterable[str], folder: Path, notes: SurveyNotes) -> None:
    """Note the images that lie beside those of a table, in the same folders, and that no row of it names.

    Args:
        listed_names: paths of the images that rows name, absolute or relative to `folder`.
        folder: where the table lies.
        notes: what is left out is added here.
    """
    named: defaultdict[str, set[str]] = defaultdict(set)  # by folders, which may have two names, `a` and `b/../a`
    places: dict[str, str] = {}
    for name in listed_names:
        place, base = os.path.split(name)
        real = os.path.realpath(folder / place)
        places.setdefault(real, place)
        named[real].add(composed(base))
    unlisted = []
    for real, place in places.items():
        try:
            there = os.listdir(real)
        except OSError as error:
            reason = reason_of(error)
            notes.warn(f"{real} cannot be listed ({reason}), so images in it that no row names are not counted")
            continue
        images = (base for base in there if base.lower().endswith(tuple(IMAGE_SUFFIXES)) and not base.startswith("."))
        unlisted += [os.path.join(place, base) for base in images if composed(base) not in named[real]]
    if unlisted:
        notes.leave_out("in a folder of the table's images, but in no row of it", sorted(unlisted))


def compare_with_paths(
    images: Iterable[Labelled], classes: ClassWords, notes: SurveyNotes, *, has_split: bool
) -> list[Labelled]:
    """Return the images of a table in order, after what their folders and names say was asked about.

    Where the table tells no split, those that folders name are taken.
    """
    fit = without_other_images(sorted(images, key=lambda one: one.file.name), notes)
    ask_about_folders(fit, classes, notes)
    ask_about_names(fit, notes)
    ask_about_classes_in_names(fit, classes, notes)
    return fit if has_split else take_folder_splits(fit, classes, notes)


def take_folder_splits(images: Sequence[Labelled], classes: ClassWords, notes: SurveyNotes) -> list[Labelled]:
    """Return the images of a table without a column for the split, with the splits that their folders name.

    Where the folders of a file name two splits, none is taken.
    """
    named = splits_in_folders(images)
    if doubtful := next(((one, found) for one, found in zip(images, named, strict=True) if len(found) > 1), None):
        one, found = doubtful
        notes.ask(
            f"{one.file.name}: its folders name two splits, {' and '.join(found)}; --yes takes no split from paths and "
            "divides the images anew; else rename one of these folders, there and in the table"
        )
        return list(images)
    taken = [replace(one, split="".join(found)) for one, found in zip(images, named, strict=True)]
    without = [one.file.name for one in taken if not one.split]
    if len(without) == len(taken):
        parts = [folder for folders in _folders(images) for folder in set(folders)]
        like = Counter(folder for folder in parts if may_be_split(folder) or split_words_in(folder))
        if apart := Counter({folder: count for folder, count in like.items() if count < len(images)}):
            notes.ask(
                f"the table has no column split, but folders in its paths may be splits: {listed(apart)}; --yes "
                f"divides the images anew; else {_TELL_SPLITS}"
            )
        else:
            _ask_about_unknown_folders(images, classes, notes)
        ask_about_split_words_in_files(images, notes)
        return list(images)
    ask_about_folds("folders in the paths", chain.from_iterable(_folders(images)), notes)
    counts = Counter(one.split for one in taken if one.split)
    notes.tell(f"the table has no column split; folders in its paths tell it: {listed(counts, len(counts))}")
    return taken


def splits_in_folders(images: Sequence[Labelled]) -> list[list[str]]:
    """Return the splits that the folders of each image name."""
    return [sorted({split for folder in folders if (split := split_of(folder))}) for folders in _folders(images)]


def _ask_about_unknown_folders(images: Sequence[Labelled], classes: ClassWords, notes: SurveyNotes) -> None:
    """Ask about a few folders whose names are not understood, and none of which holds most of one class alone."""
    paths = _folders(images)
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for one, folders in zip(images, paths, strict=True):
        for folder in set(folders):
            labels[folder][one.label] += 1
    of_class = Counter(one.label for one in images)
    unmarked = replace(classes, met=set())
    known = {name for name in labels if class_told(name, unmarked) or role_in(name)}
    known |= {
        name
        for name, counts in labels.items()
        if len(counts) == 1 and 2 * counts.total() > sum(of_class[label] for label in counts)
    }
    apart = labels.keys() - known
    found = not_understood([tuple(filter(apart.__contains__, folders)) for folders in paths])
    unknown = Counter({name: count for name, count in found.items() if count < len(images)})
    if 0 < len(unknown) <= MOST_PARTS:
        notes.ask_about_patients(
            f"the table has no column split, and folders in its paths are not understood: {listed(unknown)}; --yes "
            f"takes them together; if they are splits, {_TELL_SPLITS}; if they are no frontal chest X-rays, remove "
            "their rows"
        )


def without_other_images(images: Sequence[Labelled], notes: SurveyNotes) -> list[Labelled]:
    """Return the images of a table but for those in folders of masks or views of the side, as in a source of folders.

    As the table lists them, this is asked, and so are folders of other modalities and body parts, which are kept. A
    folder that all images lie in tells none apart.
    """
    paths = _folders(images)
    shared = set.intersection(*map(set, paths)) if paths else set()
    kinds = {name: "mask" if is_mask(name) else role_in(name) for name in set(chain.from_iterable(paths))}
    left, kept = Counter[str](), Counter[str]()
    fit = []
    for one, folders in zip(images, paths, strict=True):
        found = {kinds[name] for name in folders if name not in shared or kinds[name] != "body_part"}
        if not {"mask", "view"}.isdisjoint(kinds[name] for name in folders if name not in shared):
            left["/".join(folders)] += 1
            continue
        fit.append(one)
        if not {"mask", "view", "modality", "body_part"}.isdisjoint(found):
            kept["/".join(folders)] += 1
    if left and not fit:
        left, kept, fit = Counter(), left + kept, list(images)
    if left:
        left_out = {one.file.name for one in images} - {one.file.name for one in fit}
        notes.leave_out("masks, or lateral or oblique views, by their folder", sorted(left_out))
        notes.ask(
            f"folders in the paths of the table are named like masks, heat maps or views of the side: {listed(left)}; "
            "--yes leaves their images out; if they are frontal X-rays, rename the folders"
        )
    if kept:
        notes.ask(
            f"folders in the paths of the table are named like images of another kind than frontal chest X-rays: "
            f"{listed(kept)}; --yes takes them for frontal chest X-rays; else remove their rows"
        )
    return fit


def ask_about_folders(images: Sequence[Labelled], classes: ClassWords, notes: SurveyNotes) -> None:
    """Ask if images lie in folders of the other class or of another split than the columns say.

    A folder of `train` may include validation, and one of `virus` or `Pneumonie` in which all images lie tells nothing.
    """
    unmarked = replace(classes, met=set())  # what a folder is called does not show that a flag was spelled well
    contradicted: dict[str, list[Labelled]] = {"label": [], "split": []}
    paths = _folders(images)
    counts = Counter(chain.from_iterable(map(set, paths)))
    apart = [folder for folder, count in counts.items() if count < len(images)]
    kinds = {folder: class_told(folder, unmarked) for folder in apart if len(words_of(folder)) == 1}
    kinds |= {folder: LABELS[1] for folder in apart if subtype_of(folder)}
    for one, folders in zip(images, paths, strict=True):
        told = (folder for folder in reversed(folders) if not folder.isdecimal())
        labels = (unmarked.label_of(folder) or kinds.get(folder, "") for folder in told)
        if next(filter(None, labels), one.label) != one.label:
            contradicted["label"].append(one)
        splits = {split for folder in folders if (split := split_of(folder))}
        if one.split and splits and one.split not in splits and (one.split, splits) != ("val", {"train"}):
            contradicted["split"].append(one)
    for role, found in contradicted.items():
        if found:
            notes.ask(
                f"{len(found):,} of {counted(len(images), 'image')} lie in a folder of another {role} than the table "
                f"says, the first {found[0].file.name}, which it calls {getattr(found[0], role)}; --yes believes the "
                "table; if the folders are right, correct the table, or pass the folder as --source"
            )


def _folders(images: Sequence[Labelled]) -> list[list[str]]:
    """Return the folders of each file; of absolute paths those below the folder that all of them share."""
    absolute = [os.path.dirname(one.file.name) for one in images if os.path.isabs(one.file.name)]
    shared = len(os.path.commonpath(absolute).split("/")) if absolute else 0
    return [one.file.name.split("/")[shared if os.path.isabs(one.file.name) else 0 : -1] for one in images]
