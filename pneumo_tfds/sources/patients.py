"""Decide who is on each image, by what a table, its header, its folder or its name says.

The rule is the cautious one: two people taken for one cost nothing, one taken for two can be in training and in test.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from pneumo_tfds.decode.dicom_header import HeaderFacts
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import patient_doubts
from pneumo_tfds.sources.identifiers import (
    HEADER_PATIENT,
    compared,
    has_day_for_number,
    identify,
    in_any_place,
    in_brackets,
    is_unknown,
    own,
)
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.sources.listing import Labelled, without_suffix
from pneumo_tfds.sources.numbering import BY_CHANCE, is_site
from pneumo_tfds.sources.patient_doubts import Told
from pneumo_tfds.sources.survey import SurveyNotes

Member = TypeVar("Member", bound=Hashable)

MOST_OF_ONE = 3
"""Identifiers of one beginning, in the median, above which it is a site or a year if it is one of even fewer."""

FEW = 0.1
"""Share of identifiers that may be joined by chance, as those of random letters are, so that it is only warned of."""


def decide(images: Sequence[Image], told: Sequence[Told], notes: SurveyNotes) -> tuple[list[Image], dict[str, str]]:
    """Give every image its patient by what tells one and can be believed.

    Images that share an identifier in any certain place are of one patient: a table and headers may disagree, and then
    two patients taken for one do no harm. Where no certain place tells a patient, the others are asked in their order,
    and last the file name. An identifier that a better place gave other images, in any spelling, is of their patient.

    Returns:
        The images, and the image names with the rule that told the patient; `unknown` if nothing did.
    """
    patients: dict[str, str] = {}
    rules: dict[str, str] = {}
    first: dict[str, str] = {}  # the first image with each identifier, by `in_any_place`, in the best place
    for place in told:
        if place.certain:
            asked = [image for image in images if image.name in patients] if place.only_joins else images
            believed = patient_doubts.believed(place, asked, notes, other=patients)
            known = place.by_name and bool(patients) and patients.keys() >= believed.keys()
            joined = place if place.only_joins else _joined(place, believed, notes, only_sure=known)
            patients_of = {name: joined.patients[name] for name in believed}
            patient_doubts.ask_about_beginnings(Told(place.rule, patients_of), images, notes)
            known_as = _known_as(place, patients_of, patients, first)
            _add_certain(patients, rules, known_as, Told(place.rule, patients_of), notes)
            if not place.only_joins:
                _add_first(first, place, believed)
    named = {image.name: identify(image.name, image.label)[0] for image in images}
    by_name = {name: "" if is_unknown(patient) else patient for name, patient in named.items()}
    names = Told("file name", _without_days(by_name, patients, notes), by_name=True)
    less_good = [*(place for place in told if not place.certain), names]
    for place in less_good:
        rest = [image for image in images if image.name not in patients]
        believed = patient_doubts.believed(place, rest, notes)
        told_by = (place if place is names else _joined(place, believed, notes)).patients
        known_as = _known_as(place, told_by, patients, first)
        for name in believed:
            same = known_as.get(told_by[name], {told_by[name]})
            if len(same) == 1:
                patients[name], rules[name] = min(same), place.rule
        _add_first(first, place, [name for name in believed if name in patients])
    for place in less_good:
        patient_doubts.ask_about_divided(images, patients, rules, place, notes)
    decided = [replace(image, patient=patients.get(image.name) or own(image.name, by_name)) for image in images]
    return decided, {image.name: rules.get(image.name, "unknown") for image in images}


def _joined(place: Told, believed: Mapping[str, str], notes: SurveyNotes, *, only_sure: bool = False) -> Told:
    """Return a place with one identifier for each patient, for all images that it tells."""
    one_of = _same_people(place.patients.values(), believed.values(), place.rule, notes, only_sure=only_sure)
    return replace(place, patients={name: one_of.get(told, "") for name, told in place.patients.items()})


def _without_days(by_name: dict[str, str], patients: Collection[str], notes: SurveyNotes) -> dict[str, str]:
    """Return what names tell, without days in place of numbers if there are many; ask if no better place tells."""
    days = [name for name, patient in by_name.items() if patient and has_day_for_number(name)]
    if len(days) <= BY_CHANCE * sum(map(bool, by_name.values())):
        return by_name
    if asked := [name for name in days if name not in patients]:
        notes.ask_about_patients(
            f"what stands behind a word such as patient in {counted(len(asked), 'file name')} may be a day, as in "
            f"{min(asked)}; --yes does not take days for patients; if they are patients, give a CSV of "
            "path,label,patient"
        )
    return by_name | dict.fromkeys(days, "")


def _known_as(
    place: Told, told_by: Mapping[str, str], patients: Mapping[str, str], first: Mapping[str, str]
) -> dict[str, set[str]]:
    """Return the patients, by better places, of each identifier that `told_by` gives an image.

    They are those of images that have it and are told by a better place; if there are none, that of the `first` image
    to which a better place gave an identifier that is alike.
    """
    known: dict[str, set[str]] = defaultdict(set)
    alike: dict[str, set[str]] = {}
    for name, identifier in told_by.items():
        if name in patients:
            known[identifier].add(patients[name])
        elif identifier and (same := first.get(in_any_place(place.patients[name]))):
            alike.setdefault(identifier, {patients[same]})
    return alike | known


def _add_first(first: dict[str, str], place: Told, names: Iterable[str]) -> None:
    for name in names:
        first.setdefault(in_any_place(place.patients[name]), name)


def _add_certain(
    patients: dict[str, str],
    rules: dict[str, str],
    together: Mapping[str, Collection[str]],
    place: Told,
    notes: SurveyNotes,
) -> None:
    """Add what a place tells; patients that it says are one, as `together` gives them, become one."""
    one_of = {patient: min(group) for group in merge_overlapping(together.values()) for patient in group}
    if several := [identifier for identifier, group in together.items() if len(group) > 1]:
        notes.warn(
            f"{counted(len(several), 'patient')} by the {place.rule}{in_brackets(min(several))} are several by "
            f"the {next(iter(rules.values()))}; whoever is one patient in either of them is kept together"
        )
    patients.update((name, one_of.get(patient, patient)) for name, patient in patients.items())
    for name, identifier in place.patients.items():
        if name not in patients:
            same = one_of[min(together[identifier])] if identifier in together else identifier
            patients[name], rules[name] = same, place.rule


def _same_people(
    identifiers: Collection[str], used: Iterable[str], rule: str, notes: SurveyNotes, *, only_sure: bool = False
) -> dict[str, str]:
    """Return each identifier with the one that stands for its patient; warn or ask about those `used` that are joined.

    It is asked where both readings are possible: `100-1` may be patient and examination, or site and patient. People
    outnumber their examinations, so a few beginnings of many identifiers each are sites or years.

    Args:
        identifiers: all that a place tells, as `compared` reads them.
        used: those among them that patients are told by.
        rule: the place, in words.
        notes: questions and warnings are added here.
        only_sure: join nobody where it has to be asked, as a better place tells the patients.
    """
    spelled: dict[str, list[str]] = defaultdict(list)
    left: dict[str, tuple[str, str]] = {}
    for identifier in sorted(set(identifiers) - {""}):
        whole, surely, perhaps = compared(identifier)
        spelled[whole].append(identifier)
        if whole not in left or perhaps != whole:  # 1234567-8 can be shortened, 12345678 cannot
            left[whole] = surely, perhaps
    groups: dict[str, set[str]] = defaultdict(set)
    for surely, perhaps in left.values():
        groups[perhaps].add(surely)
    alike = {perhaps: len(found) for perhaps, found in groups.items() if len(found) > 1}
    of_one = statistics.median(alike.values()) if alike else 0
    if only_sure or len(groups) == 1 or of_one > max(MOST_OF_ONE, len(alike)):
        alike = {}
    asked = alike.keys() if sum(alike.values()) > FEW * len(left) else set()
    people: dict[str, list[str]] = defaultdict(list)
    for whole, (surely, perhaps) in left.items():
        people[perhaps if perhaps in alike else surely] += spelled[whole]
    seen = set(used)
    several = {one for one, members in people.items() if len(members) > 1 and not seen.isdisjoint(members)}
    for joined in (several & asked, several - asked):
        if joined:
            examples = people[min(joined)][:2]
            shown = "" if examples[0].startswith(HEADER_PATIENT) else f", such as {' and '.join(map(repr, examples))}"
            text = f"{counted(len(joined), 'patient')} by the {rule} may have several identifiers{shown}"
            if joined <= asked:
                notes.ask_about_patients(
                    f"{text}, which begin alike; --yes takes those for one patient, which leaks nothing if they are "
                    "several; if they are different people, such as those of a site, let no sign divide site and "
                    "number, such as 1001 for 100-1"
                )
            else:
                notes.warn_about_patients(
                    f"{text}, which differ by an examination, a date, a view or spelling; they are taken for one "
                    "patient, which does no harm if they are several"
                )
    return {one: _shown(min(members)) for members in people.values() for one in members}


def apart_by_site(images: Sequence[Image], files: Mapping[str, Labelled], notes: SurveyNotes) -> list[Image]:
    """Return the images, with the site before the patient where numbers in names begin again at each site.

    They do if most patients of one site have a number that another has too. Where few have, those may be people who
    were at both, and nothing is changed; a header's identifiers are no such numbers.
    """
    site_of = {name: "/".join(filter(is_site, one.file.folders)) for name, one in files.items()}
    sites: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if site_of.get(image.name) and not is_unknown(image.patient) and not image.patient.startswith(HEADER_PATIENT):
            sites[image.patient].add(site_of[image.name])
    shared = [patient for patient, found in sites.items() if len(found) > 1]
    sizes = sorted(Counter(site for found in sites.values() for site in found).values())
    if not shared or len(shared) <= sizes[-2] / 2:
        return list(images)
    notes.warn_about_patients(
        f"{counted(len(shared), 'patient')}, such as {min(shared)}, have the same number at several sites; they are "
        "taken for different people; if one person has one number at all sites, give a CSV of path,label,patient"
    )
    return [
        replace(image, patient=f"{site_of[image.name]}/{image.patient}")
        if image.patient in sites and site_of.get(image.name)
        else image
        for image in images
    ]


def together_by_name(images: Sequence[Image]) -> list[Image]:
    """Return the images; those of no known patient are of that of a file beside it with the same name but for suffix.

    They may be one picture in two formats, which is asked about before.
    """
    alike: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        alike[without_suffix(image.name)].append(image)
    one_of = {
        image.name: min(found, key=lambda other: (is_unknown(other.patient), other.patient)).patient
        for found in alike.values()
        for image in found
        if len(found) > 1 and is_unknown(image.patient)
    }
    return [replace(image, patient=one_of.get(image.name, image.patient)) for image in images]


def _shown(identifier: str) -> str:
    """Return an identifier as it stands for a patient: one of a header without the hash of what is left of it."""
    return identifier.partition(" ")[0] if identifier.startswith(HEADER_PATIENT) else identifier


def with_other_identifiers(facts: Mapping[str, HeaderFacts]) -> dict[str, str]:
    """Return file name to one identifier for all files that share any, where one of them is among `others`."""
    known = {name: [_shown(told) for told in (one.patient, *one.others) if told] for name, one in facts.items()}
    groups = merge_overlapping(told for told in known.values() if len(told) > 1)
    one_of = {identifier: min(group) for group in groups for identifier in group}
    return {name: one_of[told[0]] for name, told in known.items() if told and told[0] in one_of}


def merge_overlapping(groups: Iterable[Iterable[Member]]) -> list[set[Member]]:
    """Return the groups as disjoint sets: groups that share a member, directly or through others, become one.

    SciPy's `DisjointSet` does the same, but importing it takes 0.5 s, and an audit works without the `train` extra.
    """
    group_of: dict[Member, set[Member]] = {}
    for group in groups:
        merged = set(group)
        for other in {id(found): found for member in merged if (found := group_of.get(member))}.values():
            merged |= other
        group_of.update(dict.fromkeys(merged, merged))
    return list({id(group): group for group in group_of.values()}.values())
