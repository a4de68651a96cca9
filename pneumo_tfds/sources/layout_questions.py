"""What is doubtful about the folders of a source and is asked before anything is built."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace

from pneumo_tfds.decode.other_files import OTHER_IMAGES
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import numbering, words
from pneumo_tfds.sources.class_folders import Folders, InClass
from pneumo_tfds.sources.classes import ClassWords, class_in_name
from pneumo_tfds.sources.image_kinds import kinds_of_image, role_in, role_of_name
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import File, Labelled, without_suffix
from pneumo_tfds.sources.survey import SHOWN, SurveyNotes, listed

MUCH = 0.1
"""Share of a class whose loss is warned of."""

LEAST = 3
"""Files whose names add one word to those of others from which on this is asked about; fewer are chance."""


def ask_about_folders(found: Sequence[InClass], notes: SurveyNotes) -> None:
    """Ask about folders above and of the classes that may be copies, splits, other images or patients."""
    _ask_about_versions(found, notes)
    ask_about_folds("folders", (name for one in found for name in (*one.above, *one.below)), notes)
    _ask_about_other_kinds(found, notes)
    _ask_about_places(found, notes)
    if names := sorted({one.label_folder for one in found if words.split_words_in(one.label_folder)}):
        _ask_about_split_words("classes", names, notes)
    spellings: dict[tuple[Folders, str], Counter[str]] = defaultdict(Counter)
    for one in found:
        spellings[one.above, words.plain_name(one.label_folder)]["/".join((*one.above, one.label_folder))] += 1
    for alike in spellings.values():
        if len(alike) > 1:
            notes.tell(f"{listed(alike)} are taken for one folder, as only the spelling differs")


NO_PLACE = "the top folder"
"""What is shown for images whose folders name nothing but classes, splits and the like."""


def ask_about_images(placed: Sequence[Labelled], classes: ClassWords, notes: SurveyNotes) -> None:
    """Ask about what the names of files say and no folder does; warn of files that are not read."""
    ask_about_split_words_in_files(placed, notes)
    ask_about_names(placed, notes)
    ask_about_classes_in_names(placed, classes, notes)
    counts = Counter(place.label for place in placed)
    for reason, names in notes.left_out.items():
        if reason in OTHER_IMAGES.values():
            labels = Counter(next(filter(None, map(classes.label_of, name.split("/")[:-1])), "") for name in names)
            for label in LABELS:
                if labels[label] > MUCH * (labels[label] + counts[label]):
                    notes.warn(
                        f"left out in folders of {label}: {counted(labels[label], 'file')} ({reason}); read: "
                        f"{counts[label]:,}"
                    )


def _ask_about_places(found: Sequence[InClass], notes: SurveyNotes) -> None:
    """Tell of years and hospitals that hold the classes each; ask about other places: they may be splits, patients."""
    places: Counter[str] = Counter()
    sites, outside = True, set[str]()
    for one in found:
        names = [name for name in one.place if not words.is_filler(name)]
        places["/".join(names) or NO_PLACE] += 1
        outside |= set() if names else {"/".join(one.place)}
        sites = sites and bool(names) and all(numbering.is_date(name) or numbering.is_site(name) for name in names)
    if len(places) < 2:
        return
    only = next(iter(outside), "") if len(outside) == 1 else ""
    shown = listed(Counter({only if name == NO_PLACE and only else name: n for name, n in places.items()}))
    if sites:
        notes.tell(f"the classes lie in {len(places)} years or sites, which are read as one source: {shown}")
    elif numbering.are_identifiers(places) and len(numbering.are_counted(places)) == len(places):
        notes.ask(
            f"the classes lie in {len(places)} places, which may be patients: {shown}; --yes takes them "
            "together and none of them for a patient; if they are, put each patient's folder inside the folders of the "
            "classes, or pass a CSV of path,label,patient"
        )
    else:
        notes.ask(
            f"the classes lie in {len(places)} places whose names are not understood: {shown}; --yes takes "
            "them together; if they are splits, name them train, val and test; else pass one of them as --source"
        )


def ask_about_splits_left_out(
    files: Sequence[File], found: Sequence[InClass], classes: ClassWords, notes: SurveyNotes
) -> None:
    """Ask about splits of which no image is used, and about splits without one class that have folders of no class."""
    used = {folders[:depth] for one in found for folders in [one.file.folders] for depth in range(len(folders) + 1)}
    labels: dict[Folders, set[str]] = defaultdict(set)
    for one in found:
        labels[one.above].add(one.label)
    unused: Counter[str] = Counter()
    for file in files:
        folders = file.folders
        depth = next((depth for depth in range(len(folders)) if folders[: depth + 1] not in used), None)
        if depth is None or any(map(words.is_mask, folders)):
            continue
        half = len(labels.get(folders[:depth], LABELS)) < len(LABELS) == len(set().union(*labels.values()))
        if folders[:depth] in used and (words.split_of(folders[depth]) or half):
            unused["/".join(folders)] += 1
    if unused:
        notes.ask(
            f"no folder {classes.in_words('or')} holds the images of a split, or of one class in it: {listed(unused)}; "
            "--yes leaves them out; name the folders of the classes in it as in the others, or with --positive NAME... "
            "and --negative NAME..."
        )


def ask_about_masks(found: Sequence[InClass], notes: SurveyNotes) -> None:
    """Ask if all images are masks or the like by the names of their folders or files."""
    named = [one.file for one in found if any(map(words.is_mask, (*one.file.folders, one.file.name.split("/")[-1])))]
    if named:
        folders = Counter("/".join(file.folders) for file in named)
        notes.ask(
            f"the images are named like masks, heat maps or the like: {listed(folders)}; --yes takes them for "
            "X-rays; else pass the folder of the X-rays as --source"
        )


def _ask_about_other_kinds(found: Sequence[InClass], notes: SurveyNotes) -> None:
    """Ask about folders of other modalities than radiography, and of other body parts unless all images lie in them."""
    folders = Counter(one.file.folders for one in found)
    shared = set.intersection(*map(set, folders)) if folders else set()
    kinds = {name: role_in(name) for names in folders for name in names}
    unfit = {name for name, kind in kinds.items() if kind == "modality" or (kind == "body_part" and name not in shared)}
    if named := Counter({"/".join(names): count for names, count in folders.items() if not unfit.isdisjoint(names)}):
        notes.ask(
            f"folders are named like images of another kind than chest X-rays: {listed(named)}; --yes takes them for "
            "chest X-rays; else take them out"
        )


def _ask_about_versions(found: Sequence[InClass], notes: SurveyNotes) -> None:
    """Ask about images of one name in folders that differ by `raw`, `png`, a size or a mark of copies alone."""
    names = {name for one in found for name in (*one.above, *one.below)}

    def plain(name: str) -> str:
        original = words.without_copy(name)  # `p (1)` and `p (2)` without `p` were numbered, not copied
        name = words.SIZE.sub("", original if original in names else name)
        # An image of each view, and of parts such as `images_001`, may have one name.
        part = any(word in ("ap", "frontal", "pa") or word.startswith("0") for word in words.words_of(name))
        return "" if words.split_of(name) or (words.is_filler(name) and not part) else name

    alike: dict[tuple[object, ...], Counter[str]] = defaultdict(Counter)
    for one in found:
        folders = [name for name in (*one.above, *one.below) if not words.split_of(name)]
        version = "/".join(name for name in folders if plain(name) != name) or "in no such folder"
        stem = one.file.name.rpartition("/")[2].rpartition(".")[0]
        alike[one.label, tuple(filter(None, map(plain, folders))), stem][version] += 1
    several = [versions for versions in alike.values() if len(versions) > 1]
    if sum(map(Counter.total, several)) > MUCH * len(found):
        notes.ask(
            f"files of the same names are in several folders: {listed(sum(several, Counter()))}; --yes takes all of "
            "them; if they are versions of the same images, pass one of these folders as --source or take the others "
            "out"
        )


def ask_about_names(images: Sequence[Labelled], notes: SurveyNotes) -> None:
    """Ask about names of files by which images are not of the chest, not frontal, or made of others beside them."""
    roles = [(role_of_name(one.file.stem), one.file.name) for one in images]
    for role in ("modality", "body_part", "view"):
        named = [name for found, name in roles if found == role]
        if 0 < len(named) < len(images):
            notes.ask(
                f"the names of {counted(len(named), 'file')}, such as {named[0]}, are those of images of another "
                f"{role.replace('_', ' ')}; --yes takes them for frontal chest X-rays; else take them out"
            )
    _ask_about_formats(images, notes)
    ends = [next(iter(words.whole_words(one.file.stem)[-1:]), "") for one in images]
    if views := kinds_of_image(ends).get("view"):
        notes.ask(
            f"the names of files end with views that are not frontal: {listed(views)}; --yes takes them for frontal; "
            "else take them out"
        )
    else:
        _ask_about_names_alike({one.file.name.rpartition(".")[0] for one in images}, notes)


def _ask_about_formats(images: Sequence[Labelled], notes: SurveyNotes) -> None:
    """Ask about files of one folder whose names differ in the suffix alone: they may be one picture."""
    alike: dict[str, list[Labelled]] = defaultdict(list)
    for one in images:
        alike[without_suffix(one.file.name)].append(one)
    several = [found for found in alike.values() if len(found) > 1]
    if several:
        differing = sum(len({one.label for one in found}) > 1 for found in several)
        of_both = f", {differing:,} of them in both classes" if differing else ""
        notes.ask(
            f"{counted(len(several), 'picture')} may be there in several formats{of_both}, such as "
            f"{several[0][0].file.name} and {several[0][1].file.name}; --yes takes all, those of one name for one "
            "patient; if they are the same, take those of one format out"
        )


def _ask_about_names_alike(paths: Set[str], notes: SurveyNotes) -> None:
    """Ask about names of files that differ from those of others beside them by words at the end or the beginning."""
    added: dict[str, list[str]] = defaultdict(list)
    ends: dict[str, dict[str, str]] = defaultdict(dict)
    for path in sorted(paths):
        folder, slash, base = path.rpartition("/")
        rests = (folder + slash + base[gap.end() :] for gap in re.finditer(r"[\W_]+", base))
        start = re.match(r"[^\W\d_]{2,}(?=[\W_])", base)
        end = re.search(r"[\W_]+([^\W\d_]{2,}|[lr])$", path, re.IGNORECASE)
        numbered = re.search(r"[\W_]+([^\W\d_]{2,})[-_ ]?[0-9]{1,3}$", path)  # `_rot90`, but not `_visit2`
        if end and path[: end.start()] in paths and words.without_copy(path) == path and role_in(end[1]) != "fit":
            added[end[1].lower()].append(base)
        elif numbered and path[: numbered.start()] in paths and not numbering.is_examination(numbered[0].strip("_- ")):
            added[numbered[1].lower()].append(base)
        elif start and role_in(start[0]) != "fit" and not paths.isdisjoint(rests):
            added[start[0].lower()].append(base)
        elif end and len(end[1]) > len("RL") and path[end.start() - 1].isdecimal() and _tells_nothing(end[1]):
            ends[path[: end.start()]][end[1].lower()] = base
    for found in ends.values():
        for word, base in found.items():
            added[word] += [base] * (len(found) > 1)
    added = {word: found for word, found in added.items() if len(found) >= LEAST}
    if added:
        shown = ", ".join(f"{found[0]} ({counted(len(found), 'such file')})" for found in added.values())
        notes.ask(
            f"names of files are those of others but for words at the end or the beginning: {shown}; --yes takes them "
            "all; if these are other views, or annotated or changed copies, take them out"
        )


def _tells_nothing(word: str) -> bool:
    """Return whether no other question is about a word in the name of a file."""
    return not (role_in(word) or words.subtype_of(word) or words.is_filler(word) or words.split_of(word))


def ask_about_classes_in_names(images: Sequence[Labelled], classes: ClassWords, notes: SurveyNotes) -> None:
    """Ask about names of files that mean another class than folders or the table say.

    If all names mean the same class, the word is that of a project and tells nothing. An image that a person decided
    about in a file of corrections is not asked about.
    """
    unmarked = replace(classes, met=set())
    told = [(class_in_name(one.file.stem, unmarked), one) for one in images]
    other = [(name, one) for name, one in told if name not in ("", one.label) and one.file.name not in notes.decided]
    if other and len({name for name, _ in told}) > 1:
        name, first = other[0]
        notes.ask(
            f"the names of {len(other):,} of {counted(len(images), 'file')} say another class than the folder or table "
            f"does, the first {first.file.name}, which is {name} by its name and {first.label} by the other; --yes "
            "does not believe the names; if they are right, move the files or correct the table"
        )


def ask_about_split_words_in_files(placed: Sequence[Labelled], notes: SurveyNotes) -> None:
    """Ask if names of files such as `train_0.jpg` and `0-test.jpg` divide both classes, and no folder does."""
    found: dict[str, set[str]] = {label: set() for label in LABELS}
    for place in placed:
        if not place.split:
            found[place.label].add(" ".join(sorted(words.split_words_in(place.file.name.rpartition("/")[2]))))
    if all(len(names) > 1 for names in found.values()):
        _ask_about_split_words("files", sorted(set.union(*found.values()) - {""}), notes)


def ask_about_folds(what: str, names: Iterable[str], notes: SurveyNotes) -> None:
    """Ask about names of splits that are numbered like folds, each of which divides all images in another way."""
    if folds := numbering.folds_among({*names}):
        notes.ask(
            f"{what} name splits with numbers, as those of folds have: {', '.join(folds[:SHOWN])}; --yes takes all of "
            "them together; if they are folds, leave only those of one"
        )


def _ask_about_split_words(what: str, names: Sequence[str], notes: SurveyNotes) -> None:
    notes.ask_about_patients(
        f"names of {what} hold words for splits, which are not read there: {', '.join(names[:SHOWN])}; --yes divides "
        "the images anew; else put them into folders train, val and test, or pass a CSV with a column split"
    )
