"""What is doubtful about the folders of a source and is asked before anything is built."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from pneumo_tfds.decode.other_files import OTHER_IMAGES
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import words
from pneumo_tfds.sources.class_folders import SHOWN, Folders, InClass
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import File, Labelled
from pneumo_tfds.sources.survey import SurveyNotes, listed

MUCH = 0.1
"""Share of a class whose loss is warned of."""


def ask_about_folders(found: Sequence[InClass], notes: SurveyNotes) -> None:
    """Ask about folders above and of the classes that may be copies, splits, hospitals or patients."""
    if not _ask_about_copied_folders(found, notes):
        _ask_about_versions(found, notes)
    _ask_about_other_modalities(found, notes)
    _ask_about_places(found, notes)
    _ask_about_split_words_in_labels(found, notes)
    _tell_of_spellings(found, notes)


def _tell_of_spellings(found: Sequence[InClass], notes: SurveyNotes) -> None:
    """Tell of folders of one class side by side whose names differ in letter case, spaces or the like."""
    spellings: dict[tuple[Folders, str], Counter[str]] = defaultdict(Counter)
    for one in found:
        spellings[one.above, words.plain_name(one.label_folder)]["/".join((*one.above, one.label_folder))] += 1
    for names in spellings.values():
        if len(names) > 1:
            notes.tell(f"{listed(names, SHOWN)} are taken for one folder, as only the spelling differs")


def ask_about_images(placed: Sequence[Labelled], classes: ClassWords, notes: SurveyNotes) -> None:
    """Ask about images that are in no split, or in one by the name of their file alone; warn of those not read."""
    _ask_about_missing_splits(placed, notes)
    ask_about_split_words_in_files(placed, notes)
    _warn_of_files_not_read(placed, classes, notes)


def _warn_of_files_not_read(placed: Sequence[Labelled], classes: ClassWords, notes: SurveyNotes) -> None:
    """Warn if much of a class is of a kind that is not read."""
    counts = Counter(place.label for place in placed)
    for reason, names in notes.left_out.items():
        if reason in OTHER_IMAGES.values():
            labels = Counter(next(filter(None, map(classes.label_of, name.split("/")[:-1])), "") for name in names)
            for label in LABELS:
                if labels[label] > MUCH * (labels[label] + counts[label]):
                    notes.warn(
                        f"{labels[label]:,} files in folders of {label} are {reason}; {counts[label]:,} are read"
                    )


def _ask_about_places(found: Sequence[InClass], notes: SurveyNotes) -> None:
    """Ask if the classes lie in several folders whose names are not understood: they may be splits or hospitals."""
    places: Counter[str] = Counter()
    for one in found:
        names = [name for name in one.place if not words.is_filler(name)]
        places["/".join(names) or "outside of them"] += 1
    if len(places) > 1 and words.are_identifiers(places) and len(words.are_counted(places)) == len(places):
        notes.ask(
            f"the classes lie in {len(places)} places, which may be patients: {listed(places, SHOWN)}; --yes takes "
            "them together, without patients; if they are, put each patient's folder inside the folders of the "
            "classes, or pass a CSV of path,label,patient"
        )
    elif len(places) > 1:
        notes.ask(
            f"the classes lie in {len(places)} places whose names are not understood: {listed(places, SHOWN)}; --yes "
            "takes them together; if they are splits, name them train, val and test; else pass one of them as --source"
        )


def _ask_about_split_words_in_labels(found: Sequence[InClass], notes: SurveyNotes) -> None:
    names = sorted({one.label_folder for one in found if words.split_words_in(one.label_folder)})
    if names:
        notes.ask(
            f"the names of classes hold words for splits, which are not read there: {', '.join(names[:SHOWN])}; --yes "
            "takes them as classes alone; else put them into folders train, val and test, or pass a CSV with a column "
            "split",
            about_patients=True,
        )


def ask_about_splits_left_out(files: Sequence[File], found: Sequence[InClass], notes: SurveyNotes) -> None:
    """Ask about folders of splits of which no image is used, beside others of which some are."""
    used = {folders[:depth] for one in found for folders in [one.file.folders] for depth in range(len(folders) + 1)}
    unused: Counter[str] = Counter()
    for file in files:
        folders = file.folders
        depth = next((depth for depth, name in enumerate(folders) if words.split_of(name)), None)
        if depth is None or any(map(words.is_mask, folders)):
            continue
        if folders[:depth] in used and folders[: depth + 1] not in used:
            unused["/".join(folders)] += 1
    if unused:
        notes.ask(
            f"all images of a split are left out: {listed(unused, SHOWN)}; --yes goes on without them; name the "
            "folders of the classes in it as in the others, or with --positive NAME... and --negative NAME..."
        )


def ask_about_masks(found: Sequence[InClass], notes: SurveyNotes) -> None:
    """Ask if all images are masks or the like by the names of their folders or files."""
    named = [one.file for one in found if any(map(words.is_mask, (*one.file.folders, one.file.name.split("/")[-1])))]
    if named:
        folders = Counter("/".join(file.folders) for file in named)
        notes.ask(
            f"the images are named like masks, heat maps or the like: {listed(folders, SHOWN)}; --yes takes them for "
            "X-rays; else pass the folder of the X-rays as --source"
        )


def _ask_about_other_modalities(found: Sequence[InClass], notes: SurveyNotes) -> None:
    named = (one.file.folders for one in found if any(map(words.is_other_modality, one.file.folders)))
    if folders := Counter(map("/".join, named)):
        notes.ask(
            f"folders are named like images of another kind than X-rays: {listed(folders, SHOWN)}; --yes takes them "
            "for X-rays; else take them out"
        )


def _ask_about_versions(found: Sequence[InClass], notes: SurveyNotes) -> None:
    """Ask about images of one name in folders such as `raw` and `images`, `png` and `jpg`, or `split1` and `split2`."""
    alike: dict[tuple[object, ...], Counter[Folders]] = defaultdict(Counter)
    for one in found:
        folders = [name for name in (*one.above, *one.below) if not words.split_of(name)]
        rest = tuple(name for name in folders if not words.is_version(name))
        stem = one.file.name.rpartition("/")[2].rpartition(".")[0]
        alike[one.label, rest, stem][tuple(name for name in folders if words.is_version(name))] += 1
    several = [versions for versions in alike.values() if len(versions) > 1]
    if sum(map(Counter.total, several)) > MUCH * len(found):
        counts = Counter("/".join(names) or "outside of them" for versions in several for names in versions.elements())
        notes.ask(
            f"files of the same names are in several folders: {listed(counts, SHOWN)}; --yes takes all of them; if "
            "they are versions of the same images, pass one of these folders as --source or take the others out"
        )


def _ask_about_copied_folders(found: Sequence[InClass], notes: SurveyNotes) -> bool:
    """Ask about folders whose names differ by ` (1)`, ` - Copy` or a size alone: they may hold the same images.

    Returns:
        Whether there are such folders.
    """
    counts = Counter(one.file.folders for one in found)
    names = {name for folders in counts for name in folders}

    def plain(name: str) -> str:
        original = words.without_copy(name)  # `p (1)` and `p (2)` without `p` were numbered, not copied
        return words.without_size(original if original in names else name)

    alike: dict[Folders, Counter[str]] = defaultdict(Counter)
    for folders, count in counts.items():
        alike[tuple(map(plain, folders))]["/".join(folders)] += count
    copied = Counter({name: count for names in alike.values() if len(names) > 1 for name, count in names.items()})
    if copied:
        notes.ask(
            f"folders differ only by a mark of copies or a size: {listed(copied, SHOWN)}; --yes takes all of them; if "
            "they hold the same images, keep one of each"
        )
    return bool(copied)


def ask_about_split_words_in_files(placed: Sequence[Labelled], notes: SurveyNotes) -> None:
    """Ask if names of files such as `train_0.jpg` and `0-test.jpg` divide both classes, and no folder does."""
    found: dict[str, set[str]] = {label: set() for label in LABELS}
    for place in placed:
        if not place.split:
            found[place.label].add(" ".join(sorted(words.split_words_in(place.file.name.rpartition("/")[2]))))
    if all(len(names) > 1 for names in found.values()):
        shown = ", ".join(sorted(set.union(*found.values()) - {""}))
        notes.ask(
            f"names of files hold words for splits, which are not read there: {shown}; --yes divides "
            "the images anew; else put them into folders train, val and test, or pass a CSV with a column split",
            about_patients=True,
        )


def _ask_about_missing_splits(placed: Sequence[Labelled], notes: SurveyNotes) -> None:
    without = [place for place in placed if not place.split]
    if without and len(without) < len(placed):
        folders = ", ".join(sorted({place.where for place in without})[:SHOWN])
        notes.ask(
            f"{counted(len(without), 'image')} in {folders} are in no split, though others are in train, val or test; "
            "--yes takes them for training; else move them into one of these folders",
            about_patients=True,
        )
