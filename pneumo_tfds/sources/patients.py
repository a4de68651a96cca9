"""Decide who is on each image, by what a table, its header, its folder or its name says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import patient_doubts
from pneumo_tfds.sources.identifiers import identify, in_brackets, is_unknown, own
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.sources.patient_doubts import Told
from pneumo_tfds.sources.same_people import same_people
from pneumo_tfds.sources.survey import SurveyNotes


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
            asked = [image for image in images if image.name in patients] if place.only_joins else images
            believed = patient_doubts.believed(place, asked, notes, other=patients)
            known = place.by_name and bool(patients) and patients.keys() >= believed.keys()
            joined = place if place.only_joins else _joined(place, believed, notes, only_sure=known)
            patients_of = {name: joined.patients[name] for name in believed}
            _add_certain(patients, rules, Told(place.rule, patients_of), notes)
    by_name = {image.name: _by_name(image) for image in images}
    names = Told("file name", by_name, by_name=True)
    for place in (*(place for place in told if not place.certain), names):
        rest = [image for image in images if image.name not in patients]
        believed = patient_doubts.believed(place, rest, notes)
        told_by = (place if place is names else _joined(place, believed, notes)).patients
        known_as = _known_as(told_by, patients)
        for name in believed:
            same = known_as.get(told_by[name], {told_by[name]})
            if len(same) == 1:
                patients[name], rules[name] = min(same), place.rule
    patient_doubts.ask_about_single_images(images, patients, by_name, notes)
    decided = [replace(image, patient=patients.get(image.name) or own(image.name, by_name)) for image in images]
    return decided, {image.name: rules.get(image.name, "unknown") for image in images}


def _by_name(image: Image) -> str:
    patient = identify(image.name, image.label)[0]
    return "" if is_unknown(patient) else patient


def _joined(place: Told, believed: Mapping[str, str], notes: SurveyNotes, *, only_sure: bool = False) -> Told:
    """Return a place with one identifier for each patient, for all images that it tells."""
    one_of = same_people(place.patients.values(), believed.values(), place.rule, notes, only_sure=only_sure)
    return replace(place, patients={name: one_of.get(told, "") for name, told in place.patients.items()})


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
            f"{counted(len(several), 'patient')} by the {place.rule}{in_brackets(min(several))} are several by "
            f"the {next(iter(rules.values()))}; whoever is one patient in either of them is kept together"
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


def _known_as(told: Mapping[str, str], patients: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the identifiers that a place tells with the patients that their images have by a better place."""
    known: dict[str, set[str]] = defaultdict(set)
    for name, identifier in told.items():
        if identifier and name in patients:
            known[identifier].add(patients[name])
    return dict(known)
