"""Identifiers that differ by an examination, a date, a view or their spelling, and are of one patient.

The rule is the cautious one: two people taken for one cost nothing, one taken for two can be in training and in test.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from pneumo_tfds.decode.dicom_header import HeaderFacts
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.identifiers import HEADER_PATIENT, compared, is_unknown
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.sources.listing import Labelled
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.words import is_site

MOST_OF_ONE = 3
"""Identifiers of one beginning, in the median, above which it is a site or a year if it is one of even fewer."""

FEW = 0.1
"""Share of identifiers that may be joined by chance, as those of random letters are, so that it is only warned of."""


def same_people(
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
    read: dict[str, tuple[str, bool]] = {}
    for identifier in sorted(set(identifiers) - {""}):
        whole, left, sure = compared(identifier)
        spelled[whole].append(identifier)
        if whole not in read or left != whole:  # 1234567-8 can be shortened, 12345678 cannot
            read[whole] = left, sure
    groups: dict[str, list[str]] = defaultdict(list)
    for whole, (left, _) in read.items():
        groups[left].append(whole)
    shared = {left: len(wholes) for left, wholes in groups.items() if len(wholes) > 1}
    asked = shared.keys() & {left for left, sure in read.values() if not sure}
    of_one = statistics.median(shared[left] for left in asked) if asked else 0
    if only_sure or len(groups) == 1 or of_one > max(MOST_OF_ONE, len(asked)):
        shared, asked = {left: count for left, count in shared.items() if left not in asked}, set()
    if sum(shared[left] for left in asked) <= FEW * len(read):
        asked = set()
    people: dict[str, list[str]] = defaultdict(list)
    for whole, (left, _) in read.items():
        people[left if left in shared else whole] += spelled[whole]
    seen = set(used)
    several = {one for one, members in people.items() if len(members) > 1 and not seen.isdisjoint(members)}
    for joined in (several & asked, several - asked):
        if joined:
            examples = people[min(joined)][:2]
            shown = "" if examples[0].startswith(HEADER_PATIENT) else f", such as {' and '.join(map(repr, examples))}"
            text = f"{counted(len(joined), 'patient')} by the {rule} may have several identifiers{shown}"
            if joined <= asked:
                notes.ask(
                    f"{text}, which begin alike; --yes takes those for one patient, which leaks nothing if they are "
                    "several; if they are different people, such as those of a site, let no sign divide site and "
                    "number, such as 1001 for 100-1",
                    about_patients=True,
                )
            else:
                notes.warn(
                    f"{text}, which differ by an examination, a date, a view or spelling; they are taken for one "
                    "patient, which does no harm if they are several",
                    about_patients=True,
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
    notes.warn(
        f"{counted(len(shared), 'patient')}, such as {min(shared)}, have the same number at several sites; they are "
        "taken for different people; if one person has one number at all sites, give a CSV of path,label,patient",
        about_patients=True,
    )
    return [
        replace(image, patient=f"{site_of[image.name]}/{image.patient}")
        if image.patient in sites and site_of.get(image.name)
        else image
        for image in images
    ]


def _shown(identifier: str) -> str:
    """Return an identifier as it stands for a patient: one of a header without the hash of what is left of it."""
    return identifier.partition(" ")[0] if identifier.startswith(HEADER_PATIENT) else identifier


def with_other_identifiers(facts: Mapping[str, HeaderFacts]) -> dict[str, str]:
    """Return file name to one identifier for all files that share any, where one of them is among `others`."""
    one_of: dict[str, str] = {}

    def first(identifier: str) -> str:
        while (other := one_of.get(identifier, identifier)) != identifier:
            identifier = other
        return identifier

    known = {name: [_shown(told) for told in (one.patient, *one.others) if told] for name, one in facts.items()}
    for told in known.values():
        for other in told[1:]:
            one_of[first(other)] = first(told[0])
    joined = {first(told[0]) for told in known.values() if len(told) > 1}
    return {name: first(told[0]) for name, told in known.items() if told and first(told[0]) in joined}
