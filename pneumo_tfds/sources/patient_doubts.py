"""Whether the identifiers that a table, headers, folders or names give can be those of patients."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass

from pneumo_tfds.program.wording import agreeing, counted
from pneumo_tfds.sources import numbering, words
from pneumo_tfds.sources.identifiers import (
    compared,
    in_brackets,
    is_shortened,
    is_stand_in,
    is_unknown,
    normal_identifier,
    without_examination,
)
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.sources.survey import SurveyNotes, listed

LEAST, MANY_OF_ONE = 5, 10
"""So many different folders, and at most so many images in most of them, are patients though no word says so."""

MOSTLY = 0.8
"""Share of the numbers in identifiers that must stand behind several words if these may be examinations."""

MOST = 0.5
"""Share of all images from which on one identifier is not believed."""

MUCH_MORE, MUCH, MUCH_OF_BOTH = 5, 0.25, 0.1
"""So many times the images of the median patient, and such a share of all, are too many for one; a lower one if they
are of both classes. Of NIH's images the largest patient has 184 of 112,120."""

ENOUGH = 8
"""Images from which on that share is judged; among fewer, one patient can have most."""

LOOKED_AT = 2_000
"""Names, in their order, among which some that begin alike are looked for; 100,000 would take 6 seconds."""

FEW = 0.05
"""Share of the people by a word such as `patient` that a better place may divide by corrections of names."""

MANY_IMAGES = 25
"""Images of each patient on average above which the patients are questioned. NIH, PadChest and CheXpert have 2 to 4."""


@dataclass(frozen=True)
class Told:
    """One place that tells the patient of some images."""

    rule: str
    """In words, such as `column Patient ID`."""
    patients: Mapping[str, str]
    """Image name to patient, for the images that it tells."""
    certain: bool = True
    """False for what is asked only where nothing else tells a patient."""
    by_name: bool = False
    """It is read from the names of folders or files, whose numbers may count something else."""
    only_joins: bool = False
    """It tells which images are of one patient, and not of which."""


def believed(
    place: Told, images: Sequence[Image], notes: SurveyNotes, other: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return what a place tells of `images`, without an identifier that most of them share; ask where that is odd.

    `other` is what a better place told; where that tells all, an odd place is not asked about and not believed.
    """
    asked = (image.name for image in images)
    told = {name: patient for name in asked if (patient := place.patients.get(name, ""))}
    counts = Counter(told.values())
    if shortened := [identifier for identifier in counts if is_shortened(identifier)]:
        notes.warn_about_patients(
            f"{counted(len(shortened), 'identifier')} by the {place.rule}{in_brackets(min(shortened))} "
            f"{agreeing(len(shortened), 'is a number', 'are numbers')} that a spreadsheet has rounded; several "
            "people may share one and are kept together, which does no harm; save the column as text to tell them apart"
        )
    known = other is not None and other.keys() >= told.keys()
    if known and len(told) > MANY_IMAGES * len(counts):
        return {}
    if place.by_name:
        doubted, question = _doubted(place, told, images)
        if question and place.certain and not known:
            notes.ask_about_patients(question)
        told = {name: patient for name, patient in told.items() if patient not in doubted}
        counts = Counter(told.values())
    elif counts and _are_dates_or_visits(counts):
        notes.ask_about_patients(
            f"the {place.rule} holds dates, or numbers of examinations, weeks or the like{in_brackets(min(counts))}; "
            "--yes does not take them for patients; name the column of the patients patient"
        )
        return {}
    news = _news(told, other or {})
    if patient := _of_most_images(counts, len(images), news):
        note, who = notes.ask_about_patients, "--yes does not believe it"
        if known:
            note, who = notes.warn_about_patients, "it is not believed"
        note(
            f"{counts[patient]:,} of {counted(len(images), 'image')} are of one patient by the {place.rule}"
            f"{in_brackets(patient)}, which can hardly be; {who} there; correct it if it is wrong"
        )
        return {name: other for name, other in told.items() if counts[other] < MOST * len(images)}
    _ask_about_much_of_one(place, told, Counter({one: counts[one] for one in news}), images, notes)
    if len(told) > MANY_IMAGES * len(counts):
        notes.ask_about_patients(
            f"the {place.rule} tells only {counted(len(counts), 'patient')} for {counted(len(told), 'image')}"
            f"{in_brackets(min(counts))}; --yes believes it; if these are groups of patients, say who is on each "
            "image in a CSV of path,label,patient"
        )
    return told


def _are_dates_or_visits(identifiers: Collection[str]) -> bool:
    """Return whether all identifiers are dates, or all are numbers of examinations, weeks, groups or the like."""
    return numbering.are_dates(identifiers) or all(
        numbering.is_visit(left) or numbering.is_of_group(left) for _, left, _ in map(compared, identifiers)
    )


def _of_most_images(counts: Counter[str], images: int, news: Set[str]) -> str:
    """Return the one of `news` that so many of the images share that it can hardly be a patient; empty without one."""
    for patient, count in counts.most_common(1):
        if patient in news and count >= MOST * images and (images >= ENOUGH or count == images > 1):
            return patient
    return ""


def _news(told: Mapping[str, str], other: Mapping[str, str]) -> set[str]:
    """Return the identifiers of images that `other` does not know to be of one patient."""
    known: dict[str, set[str]] = defaultdict(set)
    for name, identifier in told.items():
        known[identifier].add(other.get(name, ""))
    return {identifier for identifier, patients in known.items() if len(patients) > 1 or "" in patients}


def _doubted(place: Told, told: Mapping[str, str], images: Sequence[Image]) -> tuple[set[str], str]:
    """Return the identifiers in names that are hardly patients but groups, ages, folds or series, and the question."""
    counts: Counter[str] = Counter()
    labels: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if (patient := told.get(image.name, "")) and not words.PATIENT_NUMBER.fullmatch(patient):
            counts[patient] += 1
            labels[patient].add(image.label)
    shared = sum(len(found) > 1 for found in labels.values())
    of_folders = place.rule == "folder"
    if not counts:
        return set(), ""
    if of_folders and len(counts) < LEAST:
        why = f"there are only {len(counts)}"
    elif sorted(counts.values())[len(counts) // 2] > MANY_OF_ONE:
        why = f"most have more than {MANY_OF_ONE} images"
    elif shared > len(counts) / 2:
        why = "most occur in both classes"
    elif of_folders and len(counts) < numbering.MANY_NAMES and _only_in_one_class(told, images):
        why = "only one class has them"
    else:
        return set(), ""
    return set(counts), (
        f"numbers by the {place.rule} may be groups, ages, series or the like instead of patients, because {why}: "
        f"{listed(counts, 4)}; --yes does not take them for patients; if they are, start the names with 'patient' or "
        "give a CSV of path,label,patient"
    )


def _ask_about_much_of_one(
    place: Told, told: Mapping[str, str], counts: Counter[str], images: Sequence[Image], notes: SurveyNotes
) -> None:
    """Ask about patients with far more images than others, as such an identifier may stand for none."""
    least = MUCH_MORE * statistics.median(counts.values()) if counts else 0
    much = {patient: count for patient, count in counts.items() if count >= max(least, LEAST)}
    labels: dict[str, set[str]] = defaultdict(set)
    for image in images:
        labels[told.get(image.name, "")].add(image.label)
    for patient, count in much.items():
        both = len(labels[patient]) > 1
        share = MUCH_OF_BOTH if both else MUCH
        if is_stand_in(patient) or (count > MANY_OF_ONE and count >= share * len(images)):
            notes.ask_about_patients(
                f"{count:,} of {counted(len(images), 'image')}{', of both classes,' if both else ''} are of one "
                f"patient by the {place.rule}{in_brackets(patient)}, far more than of others; --yes believes it and "
                "keeps them together; if it stands for several people, empty it there"
            )


def _only_in_one_class(told: Mapping[str, str], images: Sequence[Image]) -> bool:
    with_one = {image.label for image in images if image.name in told}
    return len(with_one) == 1 and any(image.label not in with_one for image in images)


def ask_about_divided(
    images: Sequence[Image], patients: Mapping[str, str], rules: Mapping[str, str], place: Told, notes: SurveyNotes
) -> None:
    """Ask if better places divide the images of people that `place` names: then images or studies were numbered there.

    Only a word for a person speaks against a better place, and in the name of a file that no other has: the numbers of
    series, as in `IM-0001-0001.dcm`, begin again with each patient. Those of people may begin again in each class,
    subtype and site. A few are warned of.
    """
    files = Counter(image.base_name for image in images if image.name in patients)
    named: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for image in images:
        told = place.patients.get(image.name, "")
        alone = place.rule == "folder" or files[image.base_name] == 1
        if image.name in patients and alone and words.PATIENT_NUMBER.fullmatch(told):
            named[told, image.label, image.subtype, *_sites(image)].append(image.name)
    several = [names for names in named.values() if len(names) > 1]
    divided = [names for names in several if len({patients[name] for name in names}) > 1]
    total = sum(map(len, named.values()))
    if not divided or not ENOUGH <= total <= MANY_IMAGES * len(named):
        return
    first = divided[0][0]
    note, done = notes.warn_about_patients, "that is believed"
    if len(divided) > FEW * len(several):
        note, done = notes.ask_about_patients, "--yes believes that"
    note(
        f"{len(divided):,} of {counted(len(several), 'patient')} with several images by the {place.rule}, such as "
        f"{place.patients[first]}, {agreeing(len(divided), 'is', 'are')} several by the {rules[first]}; {done}; if "
        "images or studies and not patients are numbered there, correct it"
    )


def ask_about_beginnings(place: Told, images: Sequence[Image], notes: SurveyNotes) -> None:
    """Ask if nearly all numbers of a class stand behind each of several words: these may name examinations.

    Where each site has a word and numbers its patients, those of one class rarely have the same numbers.
    """
    words_of: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for image in images:
        if found := re.fullmatch(r"([^\W\d_]+)[\W_]*0*([0-9]+)", place.patients.get(image.name, "")):
            words_of[found[2], image.label, *_sites(image)].add(found[1])
    shared = {number: found for (number, *_), found in words_of.items() if len(found) > 1}
    if len(shared) >= ENOUGH and sum(len(found) > 1 for found in words_of.values()) >= MOSTLY * len(words_of):
        number = min(shared)
        one, other, *_ = sorted(shared[number])
        notes.ask_about_patients(
            f"the {place.rule} has the same numbers behind several words, such as {one} and {other} before {number}; "
            "--yes takes these for different patients; if they are examinations of one, leave the words out"
        )


def _sites(image: Image) -> list[str]:
    return [*filter(numbering.is_site, image.name.split("/")[:-1])]


def warn_of_both_classes(images: Sequence[Image], notes: SurveyNotes, *, from_table: bool) -> None:
    """Warn if many patients have images of both classes: then numbers in folders may begin again in each class."""
    labels: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if not is_unknown(image.patient):
            labels[image.patient].add(image.label)
    both = [patient for patient, found in labels.items() if len(found) > 1]
    if not both or len(both) <= 0.2 * len(labels):
        return
    have = agreeing(len(both), "has", "have")
    who = f"{len(both):,} of {counted(len(labels), 'patient')} {have} images of both classes{in_brackets(min(both))}"
    if from_table:
        notes.tell(f"{who}; all images of a patient are kept on one side")
    else:
        notes.warn_about_patients(
            f"{who}; if their numbers begin again in each class they are different people, whom a split keeps "
            "together, which does no harm"
        )


def warn_of_unknown(images: Sequence[Image], notes: SurveyNotes) -> None:
    """Warn of images of which nothing tells the patient: nobody can keep their patients on one side."""
    unknown = [image.base_name for image in images if is_unknown(image.patient)]
    if not unknown:
        return
    tell = agreeing(len(unknown), "tells", "tell")
    rest = "so the split is by image" if len(unknown) == len(images) else "and for them the split is by image"
    alike = _alike(unknown)
    shown = f" (names begin alike, such as {alike[0]} and {alike[1]})" if alike else ""
    notes.warn_about_patients(
        f"{len(unknown):,} of {counted(len(images), 'image')} {tell} no patient in table, folder, name or header, "
        f"{rest}: images of one person may end in training and in validation{shown}; a CSV with a patient column "
        "prevents that"
    )


def _alike(names: Sequence[str]) -> list[str]:
    """Return files that may be of one person, such as `012_1.png` and `012_2.png`, if most names are of that kind."""
    groups: dict[str, list[str]] = defaultdict(list)
    names = names[:LOOKED_AT]
    for name in names:
        stem = normal_identifier(name.rpartition(".")[0])
        left = without_examination(stem)[1]
        if re.sub(r"[\W_]|(?<![0-9])0+", "", stem).startswith(left):
            groups[left].append(name)
    several = [group for group in groups.values() if 1 < len(set(group)) <= MANY_OF_ONE]
    return sorted(set(several[0]))[:2] if sum(map(len, several)) > len(names) / 2 else []
