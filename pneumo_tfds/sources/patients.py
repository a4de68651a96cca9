"""Who is on an X-ray, by what its header, a table, a folder or its name says, and whether that can be believed.

It is disputed whether the numbers in the names of the published archive restart. The rule here is the cautious one: a
number that occurs under `bacteria` and under `virus`, or in `train` and in `val`, is one patient. Two children taken
for one cost nothing; one child taken for two can be in training and in validation.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import words
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.sources.survey import SurveyNotes, listed

UNKNOWN_PATIENT = "file:"
"""Prefix of the patient of a file of which nothing tells one: the file is a patient of its own."""

STUDY = f"{UNKNOWN_PATIENT}study:"
"""Prefix of the patient of images of which only the study is known, before its hash."""

TEST_PATIENT = "test:"
"""Prefix of patients in a test folder of other people, where the same numbers begin again."""

HEADER_PATIENT = "dicom:"
"""Prefix of patients by the hash of the identifier in their header."""

_NAMES = (
    (r"person(?P<number>[0-9]{1,18})_(?P<subtype>bacteria|virus)_[0-9]+", "person{number}"),
    (rf"(?P<series>NORMAL2-IM|IM)-(?!{words.DAY}(?![0-9]))(?P<number>[0-9]{{1,18}})-[0-9]+", "{series}-{number}"),
    (r"(?P<subtype>BACTERIA|VIRUS|NORMAL)-(?P<number>[0-9]{1,18})-[0-9]+", "patient{number}"),  # Mendeley's names
    (r"(?P<number>000[0-9]{5})_[0-9]{3}(?![0-9])", "patient{number}"),  # NIH ChestX-ray14; a date is no patient
    (
        r"(?:patient|pat|subject|subj|sub|person|child|pid)[-_ ]?(?P<number>[0-9]{1,18})"
        r"(?![0-9]|[-_ ]?(?:y|yo|yr|yrs|years?|m|mo|months?|d|days?|w|weeks?)(?![A-Za-z]))",  # an age
        "patient{number}",
    ),
)
_PATTERNS = tuple((re.compile(rf"(?<![A-Za-z0-9]){pattern}", re.IGNORECASE), made) for pattern, made in _NAMES)

_PLACEHOLDERS = words.set_of(
    "anon anonim anonym anonymised anonymized anonymous case control deidentified dummy healthy id na nan nil no noid "
    "noname none normal null patient patientid pneumonia removed sick test unknown xxx"
)
"""Texts that stand in headers and tables in place of an identifier, in lower case and without punctuation."""

_SURELY = re.compile(r"(?:p|pat|patient|pt|pid|person|subject|subj|sub|child)[-_ (]*[0-9]+\)?", re.IGNORECASE)
"""A folder or file whose name says that its number is a patient's."""

_UID = re.compile(r"[0-2](\.[0-9]+){4,}")
"""A unique identifier of DICOM (PS3.5, 9.1); folders have those of studies."""

LEAST, MANY_OF_ONE = 5, 10
"""So many different folders, and at most so many images in most of them, are patients though no word says so."""

MOST = 0.5
"""Share of all images from which on one identifier is not believed."""

ENOUGH = 8
"""Images from which on that share is judged; among fewer, one patient can have most."""

MANY_IMAGES = 25
"""Images of each patient on average above which the patients are questioned. NIH, PadChest and CheXpert have 2 to 4."""


def identify(name: str, label: str) -> tuple[str, str]:
    """Read patient and subtype from the name of an image.

    Args:
        name: path of the image within its source, with `/`.
        label: `NORMAL` or `PNEUMONIA`; decides the subtype if the name does not.

    Returns:
        The patient, such as `person12`, `NORMAL2-IM-115`, `patient7422`, or `file:<name>` if the name tells none, and
        the subtype: `normal`, `bacteria`, `virus` or `unknown`.
    """
    stem = posixpath.splitext(posixpath.basename(name))[0]
    default = "normal" if label == "NORMAL" else "unknown"
    for pattern, made in _PATTERNS:
        if match := pattern.search(stem):
            parts = match.groupdict()
            patient = made.format(number=int(parts["number"]), series=(parts.get("series") or "").upper())
            return patient, (parts.get("subtype") or default).lower()
    return unknown(name), default


def unknown(name: str) -> str:
    """Return the patient of a file of which nothing tells one; copies of one name, ` (1)` and the like, share it."""
    path, suffix = posixpath.splitext(name)
    return f"{UNKNOWN_PATIENT}{words.without_copy(path)}{suffix}"


def _own(name: str, names: Collection[str]) -> str:
    """Return the patient by `unknown`, but only of copies of a file among `names` where copies have numbers.

    Files renamed together are `normal (1).png`, `normal (2).png` and so on without being copies.
    """
    plain = unknown(name)
    is_copy = not words.is_numbered(posixpath.splitext(name)[0]) or plain.removeprefix(UNKNOWN_PATIENT) in names
    return plain if is_copy else f"{UNKNOWN_PATIENT}{name}"


def is_unknown(patient: str) -> bool:
    """Return whether nothing tells the patient."""
    return patient.removeprefix(TEST_PATIENT).startswith(UNKNOWN_PATIENT)


def normal_identifier(text: str) -> str:
    """Return an identifier as it is compared: `7`, `7.0`, `7,0` and `007` are one patient, and so are `A1` and `a1`.

    Empty if the text stands for no patient, such as `Anonymous`.
    """
    plain = " ".join(text.split()).casefold()
    letters = re.sub(r"[\W_]", "", plain)
    if not letters or letters in _PLACEHOLDERS:
        return ""
    number = re.fullmatch(r"0*([0-9]+)(\.0+|,00?)?", plain)
    return number[1] if number else plain


def hashed(identifier: str) -> str:
    """Return a patient for an identifier of a header; real ones must not get into a dataset."""
    return f"{HEADER_PATIENT}{hashlib.sha256(identifier.encode()).hexdigest()[:12]}"


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


def decide(images: Sequence[Image], told: Sequence[Told], notes: SurveyNotes) -> tuple[list[Image], dict[str, str]]:
    """Give every image its patient by what tells one and can be believed.

    Images that share an identifier in any certain place are of one patient: a table and headers may disagree, and then
    two patients taken for one do no harm. Where no certain place tells a patient, the others are asked in their order,
    and last the file name.

    Returns:
        The images, and the image names with the rule that told the patient; `unknown` if nothing did.
    """
    patients: dict[str, str] = {}
    rules: dict[str, str] = {}
    for place in told:
        if place.certain:
            believed = _believed(place, images, notes, other=patients)
            _add_certain(patients, rules, Told(place.rule, believed), notes)
    by_name = {image.name: _by_name(image) for image in images}
    for place in (*(place for place in told if not place.certain), Told("file name", by_name, by_name=True)):
        rest = [image for image in images if image.name not in patients]
        believed = _believed(place, rest, notes)
        known = _known_as(place, patients)
        for image in rest:
            if identifier := believed.get(image.name, ""):
                same = known.get(identifier, {identifier})
                if len(same) == 1:
                    patients[image.name], rules[image.name] = min(same), place.rule
    _ask_about_single_images(images, patients, by_name, notes)
    names = {image.name for image in images}
    decided = [replace(image, patient=patients.get(image.name) or _own(image.name, names)) for image in images]
    _check_classes(decided, notes)
    return decided, {image.name: rules.get(image.name, "unknown") for image in images}


def _by_name(image: Image) -> str:
    patient = identify(image.name, image.label)[0]
    return "" if is_unknown(patient) else patient


def _add_certain(patients: dict[str, str], rules: dict[str, str], place: Told, notes: SurveyNotes) -> None:
    """Add what a place tells; patients that it says are one become one."""
    together: dict[str, set[str]] = defaultdict(set)
    for name, identifier in place.patients.items():
        if name in patients:
            together[identifier].add(patients[name])
    one_of: dict[str, str] = {}
    for group in together.values():
        joined = {_first(patient, one_of) for patient in group}
        one_of.update(dict.fromkeys(joined - {min(joined)}, min(joined)))
    several = [identifier for identifier, group in together.items() if len(group) > 1]
    if several:
        notes.warn(
            f"{counted(len(several), 'patient')} by the {place.rule}{_shown(min(several))} are several by the "
            f"{next(iter(rules.values()))}; whoever is one patient in either of them is kept together"
        )
    for name in patients:
        patients[name] = _first(patients[name], one_of)
    known = {identifier: _first(min(group), one_of) for identifier, group in together.items()}
    for name, identifier in place.patients.items():
        if name not in patients:
            patients[name], rules[name] = known.get(identifier, identifier), place.rule


def _first(patient: str, one_of: Mapping[str, str]) -> str:
    while patient in one_of:
        patient = one_of[patient]
    return patient


def _known_as(place: Told, patients: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the identifiers of a place with the patients that their images have by a better place."""
    known: dict[str, set[str]] = defaultdict(set)
    for name, identifier in place.patients.items():
        if identifier and name in patients:
            known[identifier].add(patients[name])
    return dict(known)


def _believed(
    place: Told, images: Sequence[Image], notes: SurveyNotes, other: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return what a place tells of `images`, without an identifier that most of them share; ask where that is odd.

    `other` is what a better place told; where that tells all, an odd place is not asked about and not believed.
    """
    asked = (image.name for image in images)
    told = {name: patient for name in asked if (patient := place.patients.get(name, ""))}
    counts = Counter(told.values())
    if other and other.keys() >= told.keys() and len(told) > MANY_IMAGES * len(counts):
        return {}
    if place.by_name:
        known = other is not None and other.keys() >= told.keys()
        doubted = _doubted(place, told, images, SurveyNotes() if known or not place.certain else notes)
        told = {name: patient for name, patient in told.items() if patient not in doubted}
        counts = Counter(told.values())
    for patient, count in counts.most_common(1):
        if count >= MOST * len(images) and (len(images) >= ENOUGH or count == len(images) > 1):
            notes.ask(
                f"{count:,} of {counted(len(images), 'image')} are of one patient by the {place.rule}"
                f"{_shown(patient)}, which can hardly be; --yes does not believe it there; correct it if it is wrong",
                about_patients=True,
            )
            return {name: other for name, other in told.items() if counts[other] < MOST * len(images)}
    if len(told) > MANY_IMAGES * len(counts):
        notes.ask(
            f"the {place.rule} tells only {counted(len(counts), 'patient')} for {counted(len(told), 'image')}"
            f"{_shown(min(counts))}; --yes believes it; if these are groups of patients, say who is on each image in a "
            "CSV of path,label,patient",
            about_patients=True,
        )
    return told


def _doubted(place: Told, told: Mapping[str, str], images: Sequence[Image], notes: SurveyNotes) -> set[str]:
    """Return the identifiers in names that are hardly patients, and ask about them: groups, ages, folds, series."""
    counts: Counter[str] = Counter()
    labels: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if (patient := told.get(image.name, "")) and not _SURELY.fullmatch(patient):
            counts[patient] += 1
            labels[patient].add(image.label)
    shared = sum(len(found) > 1 for found in labels.values())
    of_folders = place.rule == "folder"
    if not counts:
        return set()
    if of_folders and len(counts) < LEAST:
        why = f"there are only {len(counts)}"
    elif sorted(counts.values())[len(counts) // 2] > MANY_OF_ONE:
        why = f"most have more than {MANY_OF_ONE} images"
    elif shared > len(counts) / 2:
        why = "most occur in both classes"
    elif of_folders and len(counts) < words.MANY_NAMES and _only_in_one_class(told, images):
        why = "only one class has them"
    else:
        return set()
    notes.ask(
        f"numbers by the {place.rule} may be groups, ages, series or the like instead of patients, because {why}: "
        f"{listed(counts, 4)}; --yes does not take them for patients; if they are, start the names with 'patient' or "
        "give a CSV of path,label,patient",
        about_patients=True,
    )
    return set(counts)


def _only_in_one_class(told: Mapping[str, str], images: Sequence[Image]) -> bool:
    with_one = {image.label for image in images if image.name in told}
    return len(with_one) == 1 and any(image.label not in with_one for image in images)


def study_uid(identifier: str) -> str:
    """Return an identifier if it is that of a study, which is one examination and no patient; else empty."""
    return identifier if _UID.fullmatch(identifier) else ""


def _shown(patient: str) -> str:
    return "" if patient.startswith(HEADER_PATIENT) else f" ({patient!r})"


def _ask_about_single_images(
    images: Sequence[Image], patients: Mapping[str, str], by_name: Mapping[str, str], notes: SurveyNotes
) -> None:
    """Ask if every image has a patient of its own though file names say otherwise: then the images were numbered."""
    named = {image.name: by_name[image.name] for image in images if by_name[image.name] and image.name in patients}
    if len(named) < ENOUGH or len(set(patients.values())) < len(patients):
        return
    several = [patient for patient, count in Counter(named.values()).items() if count > 1]
    if several and len(named) <= MANY_IMAGES * len(set(named.values())):
        notes.ask(
            f"every image has a patient of its own, though file names give several images to {len(several):,} of them, "
            f"such as {min(several)}; --yes believes it; if the images and not the patients were numbered, correct it",
            about_patients=True,
        )


def _check_classes(images: Sequence[Image], notes: SurveyNotes) -> None:
    """Warn if many patients have images of both classes: then numbers may begin again in each class."""
    labels: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if not is_unknown(image.patient):
            labels[image.patient].add(image.label)
    both = [patient for patient, found in labels.items() if len(found) > 1]
    if both and len(both) > 0.2 * len(labels):
        notes.warn(
            f"{len(both):,} of {counted(len(labels), 'patient')} have images of both classes, such as {min(both)}; if "
            "their numbers begin again in each class they are different people, whom a split keeps together, which "
            "does no harm",
            about_patients=True,
        )


def warn_of_unknown(images: Sequence[Image], notes: SurveyNotes) -> None:
    """Warn of images of which nothing tells the patient: nobody can keep their patients on one side."""
    count = sum(is_unknown(image.patient) for image in images)
    if not count:
        return
    rest = "so the split is by image" if count == len(images) else "and for them the split is by image"
    notes.warn(
        f"{count:,} of {counted(len(images), 'image')} tell no patient in table, folder, name or header, {rest}: "
        "images of one person may end in training and in validation; a CSV with a patient column prevents that",
        about_patients=True,
    )
