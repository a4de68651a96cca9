"""Who is on an X-ray, by what its header, a table, a folder or its name says, and whether that can be believed.

It is disputed whether the numbers in the names of the published archive restart. The rule here is the cautious one: a
number that occurs under `bacteria` and under `virus`, or in `train` and in `val`, is one patient. Two children taken
for one cost nothing; one child taken for two can be in training and in validation.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import words
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.sources.survey import SurveyNotes

UNKNOWN_PATIENT = "file:"
"""Prefix of the patient of a file of which nothing tells one: the file is a patient of its own."""

TEST_PATIENT = "test:"
"""Prefix of patients in a test folder of other people, where the same numbers begin again."""

_NAMES = (
    (r"person(?P<number>[0-9]{1,18})_(?P<subtype>bacteria|virus)_[0-9]+", "person{number}"),
    (r"(?P<series>NORMAL2-IM|IM)-(?P<number>[0-9]{1,18})-[0-9]+", "{series}-{number}"),
    (r"(?P<subtype>BACTERIA|VIRUS|NORMAL)-(?P<number>[0-9]{1,18})-[0-9]+", "patient{number}"),  # Mendeley's names
    (r"(?P<number>[0-9]{8})_[0-9]{3}(?![0-9])", "patient{number}"),  # NIH ChestX-ray14
    (r"(?:patient|pat|subject|subj|sub|person|child|pid)[-_ ]?(?P<number>[0-9]{1,18})(?![0-9])", "patient{number}"),
)
_PATTERNS = tuple((re.compile(rf"(?<![A-Za-z0-9]){pattern}", re.IGNORECASE), made) for pattern, made in _NAMES)

_COPY = re.compile(r"(\.rf\.[0-9a-f]+|[ _-]*\([0-9]+\)|[ _-]+copy( ?[0-9]+)?)$", re.IGNORECASE)
"""What programs add to the name of a copy: Roboflow's hash, ` (1)`, ` - Copy`."""

_PLACEHOLDERS = words.set_of(
    "0 000000 anon anonim anonym anonymised anonymized anonymous deidentified dummy id na nan nil no noid noname "
    "none null patient patientid removed test unknown xxx"
)
"""Texts that stand in headers and tables in place of an identifier, in lower case and without punctuation."""

MOST = 0.5
"""Share of all images above which one identifier is not believed."""

ENOUGH = 8
"""Images from which on that share is judged; among fewer, one patient can have most."""


def identify(name: str, label: str) -> tuple[str, str]:
    """Read patient and subtype from the name of an image.

    Args:
        name: path of the image within its source, with `/`.
        label: `NORMAL` or `PNEUMONIA`; decides the subtype if the name does not.

    Returns:
        The patient, such as `person12`, `NORMAL2-IM-115`, `patient7422`, or `file:<name>` if the name tells none, and
        the subtype: `normal`, `bacteria`, `virus` or `unknown`.
    """
    path = PurePosixPath(name)
    default = "normal" if label == "NORMAL" else "unknown"
    for pattern, made in _PATTERNS:
        if match := pattern.search(path.stem):
            parts = match.groupdict()
            patient = made.format(number=int(parts["number"]), series=(parts.get("series") or "").upper())
            return patient, (parts.get("subtype") or default).lower()
    return unknown(name), default


def unknown(name: str) -> str:
    """Return the patient of a file of which nothing tells one; copies of one name, ` (1)` and the like, share it."""
    path = PurePosixPath(name)
    stem = _COPY.sub("", path.stem)
    return f"{UNKNOWN_PATIENT}{name if stem == path.stem else path.with_name(stem + path.suffix).as_posix()}"


def is_unknown(patient: str) -> bool:
    """Return whether nothing tells the patient."""
    return UNKNOWN_PATIENT in patient


def normal_identifier(text: str) -> str:
    """Return an identifier as it is compared: `7`, `7.0` and `007` are one patient, and so are `A1` and `a1`.

    Empty if the text stands for no patient, such as `Anonymous`.
    """
    plain = " ".join(text.split()).casefold()
    if re.sub(r"[\W_]", "", plain) in _PLACEHOLDERS:
        return ""
    number = re.fullmatch(r"0*([0-9]+)(\.0+)?", plain)
    return number[1] if number else plain


def hashed(identifier: str) -> str:
    """Return a patient for an identifier of a header; real ones must not get into a dataset."""
    return f"dicom:{hashlib.sha256(identifier.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Told:
    """One place that tells the patient of some images."""

    rule: str
    """In words, such as `column Patient ID`."""
    patients: Mapping[str, str]
    """Image name to patient, for the images that it tells."""


def decide(images: Sequence[Image], told: Sequence[Told], notes: SurveyNotes) -> tuple[list[Image], dict[str, str]]:
    """Give every image its patient: by the first of `told` that tells one and can be believed, else by its name.

    Returns:
        The images, and the image names with the rule that told the patient; `unknown` if nothing did.
    """
    by_name = {
        image.name: patient for image in images if not is_unknown(patient := identify(image.name, image.label)[0])
    }
    rules: dict[str, str] = {}
    patients: dict[str, str] = {}
    for place in (*told, Told("file name", by_name)):
        believed = _believed(place, images, notes)
        for image in images:
            if image.name not in patients and image.name in believed:
                patients[image.name] = believed[image.name]
                rules[image.name] = place.rule
    decided = [replace(image, patient=patients.get(image.name) or unknown(image.name)) for image in images]
    _check_classes(decided, notes)
    return decided, {image.name: rules.get(image.name, "unknown") for image in images}


def _believed(place: Told, images: Sequence[Image], notes: SurveyNotes) -> dict[str, str]:
    """Return what a place tells without an identifier that most images share, about which the user is asked."""
    told = {name: patient for name, patient in place.patients.items() if patient}
    for patient, count in Counter(told.values()).most_common(1):
        most = count > MOST * len(images) and len(images) >= ENOUGH
        if most or (count == len(images) > 1):
            notes.ask(
                f"the {place.rule} says patient {patient!r} for {count:,} of {counted(len(images), 'image')}, which "
                "can hardly be one person; --yes ignores it there; correct it if it is wrong"
            )
            told = {name: other for name, other in told.items() if other != patient}
    return told


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
            "does no harm"
        )


def warn_of_unknown(images: Sequence[Image], notes: SurveyNotes) -> None:
    """Warn of images of which nothing tells the patient: nobody can keep their patients on one side."""
    count = sum(is_unknown(image.patient) for image in images)
    if not count:
        return
    rest = "so the split is by image" if count == len(images) else "and for them the split is by image"
    notes.warn(
        f"{count:,} of {counted(len(images), 'image')} tell no patient in table, folder, name or header, {rest}: "
        "images of one person may end in training and in validation; a CSV with a patient column prevents that"
    )
