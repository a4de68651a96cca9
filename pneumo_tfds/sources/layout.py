"""Find the folders of the classes among the folders of a source.

A label is a folder that has its counterpart beside it: NORMAL and PNEUMONIA are siblings, once or in every split. What
lies beside them or in folders that are not understood is left out and named, or the user is asked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import agreeing, counted
from pneumo_tfds.sources import layout_questions, words
from pneumo_tfds.sources.class_folders import Folders, InClass, read_class_folders
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import File, Labelled, Same, nested_copies
from pneumo_tfds.sources.survey import SHOWN, SurveyNotes, listed


def read_folders(files: Sequence[File], classes: ClassWords, same: Same, notes: SurveyNotes) -> list[Labelled]:
    """Return what the folders say of each image, in order of names; files that are left out are noted.

    Args:
        files: the images.
        classes: names of folders that mean a class.
        same: returns whether two files of one name and size are equal.
        notes: what is left out or doubtful is added here.

    Returns:
        The images in folders of the classes; none if no folders of both classes are side by side and not all images
        are of one class.

    Raises:
        InputError: folders contradict one another.
    """
    sets = _label_sets(files, classes)
    found = _below_labels(files, sets, classes, notes)
    layout_questions.ask_about_splits_left_out(files, found, classes, notes)
    found = _without_masks(found, notes)
    splits = _splits_above(found)
    copies = nested_copies(((one.file, (one.label, *splits(one))) for one in found), same, notes)
    found = [one for one in found if one.file not in copies]
    placed = read_class_folders(found, _splits_above(found), notes)
    if found and not placed:
        raise InputError(
            f"all {len(found):,} images in folders of the classes are left out as lateral or oblique views, by names "
            "of folders or files; rename them if they are frontal"
        )
    if {one.split for one in placed} == {"val", "test"} and _are_called_dev(found):
        notes.tell("a folder dev is read as validation, and none is for training; if it is, rename it to train")
    layout_questions.ask_about_folders(found, notes)
    layout_questions.ask_about_images(placed, classes, notes)
    return sorted(placed, key=lambda place: place.file.name)


def _are_called_dev(found: Sequence[InClass]) -> bool:
    """Return whether a folder is called `dev`, which may mean development, and so training, too."""
    return any("dev" in words.words_of(name) for one in found for name in (*one.above, *one.below))


def _label_sets(files: Sequence[File], classes: ClassWords) -> set[Folders]:
    """Return the folders that hold folders of both classes, and those of other splits that hold one of them."""
    labels: dict[Folders, set[str]] = defaultdict(set)
    for folders in {file.folders for file in files}:
        for depth, name in enumerate(folders):
            if label := classes.label_of(name):
                labels[folders[:depth]].add(label)
    complete = {parent for parent, found in labels.items() if len(found) == len(LABELS)}
    complete = complete or _sets_of_one_class(files, classes)
    skeletons = {_skeleton(parent) for parent in complete}
    sets = complete | {parent for parent in labels if _skeleton(parent) in skeletons}
    for parent in sets:
        for depth in range(len(parent)):
            if parent[:depth] in sets and classes.label_of(parent[depth]):
                raise InputError(
                    f"{'/'.join(parent)} holds folders of both classes and lies in {'/'.join(parent[: depth + 1])}, a "
                    "class itself; pass the inner folder as --source, or a CSV of path,label,patient"
                )
    return sets


def _sets_of_one_class(files: Sequence[File], classes: ClassWords) -> set[Folders]:
    """Return the folders that hold the folder of a class, if all files lie directly in folders of the same class.

    A model can be scored on such files. A build needs both classes and refuses them.
    """
    inner = {file.folders for file in files}
    labels = {classes.label_of(folders[-1]) if folders else "" for folders in inner}
    return {folders[:-1] for folders in inner} if len(labels) == 1 and "" not in labels else set()


def _skeleton(folders: Folders) -> Folders:
    """Return folders with every split in place of its name, so that those of other splits compare equal."""
    return tuple("{split}" if words.split_of(name) else name for name in folders)


def _below_labels(files: Iterable[File], sets: set[Folders], classes: ClassWords, notes: SurveyNotes) -> list[InClass]:
    """Return the files in folders of the classes; name all others as left out."""
    found: list[InClass] = []
    elsewhere: dict[str, list[str]] = defaultdict(list)
    neighbours: Counter[str] = Counter()
    unlabelled: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for file in files:
        folders = file.folders
        depths = [depth for depth in range(len(folders) + 1) if folders[:depth] in sets]
        depth = next((depth for depth in depths if classes.label_of("".join(folders[depth : depth + 1]))), None)
        if depth is not None:
            label = classes.label_of(folders[depth])
            same = words.plain_name(folders[depth])  # `NORMAL/NORMAL` is one folder unpacked into another
            below = tuple(name for name in folders[depth + 1 :] if words.plain_name(name) != same)
            found.append(InClass(file, label, folders[:depth], folders[depth], below))
        elif not depths:
            elsewhere[_why_in_no_set(folders, classes)].append(file.name)
            if not any(map(words.is_mask, (*folders, file.stem))):
                no_set = alone if any(map(classes.label_of, folders)) else unlabelled
                no_set["/".join(folders) or "no folder"] += 1
        elif depths[0] == len(folders):
            elsewhere["beside the folders of the classes, in none of them"].append(file.name)
        else:
            depth = depths[0]
            folder = "/".join(folders[: depth + 1])
            elsewhere[f"in the folder {folder}, which is no class"].append(file.name)
            if not any(map(words.is_mask, (*folders[depth:], file.stem))):
                neighbours[folder] += 1
    if found and unlabelled:
        notes.warn(
            f"left out, because no folder tells their class: {listed(unlabelled)}; to use them, name their "
            "folders of classes with --positive NAME... and --negative NAME..."
        )
    if found and alone:
        notes.warn(
            f"left out, because no folder of the other class is beside them: {listed(alone)}; they may be of "
            "another organ; to use them, put one there, or pass a CSV of path,label,patient"
        )
    ordered = sorted(elsewhere.items(), key=lambda item: -len(item[1]))
    for place, (reason, names) in enumerate(ordered):
        notes.leave_out(reason if place < SHOWN else "in other folders that are no class", names)
    if found and neighbours:
        notes.warn(
            f"left out, because they are neither {classes.in_words('nor')}: {listed(neighbours)}; to use them, "
            "name such folders with --positive NAME... or --negative NAME..."
        )
    return found


def _why_in_no_set(folders: Folders, classes: ClassWords) -> str:
    for depth, name in enumerate(folders):
        if classes.label_of(name):
            return f"in {'/'.join(folders[: depth + 1])}, which has no folder of the other class beside it"
    return f"in no folder of a class, but in {folders[0]}" if folders else "in no folder of a class"


def explain_no_classes(files: Sequence[File], classes: ClassWords, table: str, others: str) -> str:
    """Return why no class was found in folders: which folders are there, and what to do.

    `table` is how to pass a table that lists images, `others` what can be done with other tables that may; empty if
    there are none.
    """
    files = [file for file in files if not any(map(words.is_mask, (*file.folders, file.stem)))] or files
    beside = f"no folders {classes.in_words()} side by side"
    if table:
        return f"{beside}, but {table}"
    alone: Counter[str] = Counter()
    for file in files:
        folders = file.folders
        depth = next((depth for depth, name in enumerate(folders) if classes.label_of(name)), None)
        if depth is not None:
            alone["/".join(folders[: depth + 1])] += 1
    if {classes.label_of(folder.rpartition("/")[2]) for folder in alone} == set(LABELS):
        return (
            f"{beside}, but apart: {listed(alone)}; put these folders side by side, those of patients inside "
            "them, or pass a CSV of path,label,patient"
        )
    if not any(file.folders for file in files):
        lie = agreeing(len(files), "lies", "lie")
        return (
            f"{beside}; the {counted(len(files), 'image')} {lie} directly in it; {others}give the folder above if it "
            "has one of each class, or pass a CSV of path,label,patient"
        )
    telling = _telling_folders(files)
    if all(map(words.split_of, telling)):
        return (
            f"{beside}; the images are in {listed(telling)}, which are splits and no classes; {others}put those "
            "of each class into a folder of its name, or pass a CSV of path,label,patient"
        )
    return (
        f"{beside}; the images are in {listed(telling)}; {others}name the classes with "
        "--positive NAME... --negative NAME..., or pass a CSV of path,label,patient"
    )


def _telling_folders(files: Sequence[File]) -> Counter[str]:
    """Return the folders most likely to be classes, with counts: those of the level with the fewest different names."""
    levels: dict[int, Counter[str]] = defaultdict(Counter)
    for file in files:
        silent = (words.split_of, words.is_filler, words.is_mask)
        names = [name for name in file.folders if not any(is_silent(name) for is_silent in silent)]
        for depth, name in enumerate(names):
            levels[depth][name] += 1
    several = [names for _, names in sorted(levels.items(), reverse=True) if len(names) > 1]
    if several:
        return min(several, key=len)
    return Counter(file.folders[-1] if file.folders else "no folder" for file in files)


def _without_masks(found: list[InClass], notes: SurveyNotes) -> list[InClass]:
    """Leave out what folders or file names call masks, if anything else is there: `masks/NORMAL`, `1_mask.png`.

    Folders that all files share tell none apart, such as `Lung Segmentation Data` with folders `images` and `masks`,
    and nor do those above the classes if all lie in such a folder.
    """
    shared = set.intersection(*({*one.above, *one.below} for one in found)) if found else set[str]()
    masks: set[str] = set()
    for parts in ([(*one.above, *one.below) for one in found], [one.below for one in found]):
        named = (({*folders} - shared, one.file) for folders, one in zip(parts, found, strict=True))
        masks = {file.name for folders, file in named if any(map(words.is_mask, (*folders, file.stem)))}
        if 0 < len(masks) < len(found):
            notes.leave_out("masks or the like, by the name of folder or file", sorted(masks))
            return [one for one in found if one.file.name not in masks]
        if not masks:
            break
    if masks or any(map(words.is_mask, shared)):
        layout_questions.ask_about_masks(found, notes)
    return found


def _splits_above(found: Sequence[InClass]) -> Callable[[InClass], Iterator[str]]:
    """Return a function that gives the splits which the folders of a file name.

    Folders that hold all files tell none apart, so only the last of them counts, and only where no inner folder names
    a split: a project folder may be called `test`.
    """
    aboves = [one.above for one in found]
    common = len(list(takewhile(lambda names: len(set(names)) == 1, zip(*aboves, strict=False))))
    inner = any(words.split_of(name) for one in found for name in (*one.above[common:], *one.below))
    shared = [] if inner or not found else list(filter(None, map(words.split_of, aboves[0][:common])))

    def splits(one: InClass) -> Iterator[str]:
        return filter(None, (*shared[-1:], *map(words.split_of, (*one.above[common:], *one.below))))

    return splits
