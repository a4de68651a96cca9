"""Identifiers that differ by an examination, a date, a view or their spelling, and are of one patient.

The rule is the cautious one: two people taken for one cost nothing, one taken for two can be in training and in test.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from pneumo_tfds.decode.dicom_header import HeaderFacts
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.identifiers import HEADER_PATIENT, compared
from pneumo_tfds.sources.survey import SurveyNotes

MOST_OF_ONE = 10
"""Identifiers of one beginning, in the median, above which it is surely a site or a year, as in `1-001` to `1-050`."""

FEW = 0.1
"""Share of identifiers that may be joined by chance, as those of random letters are, so that it is only warned of."""


def same_people(
    identifiers: Collection[str], used: Iterable[str], rule: str, notes: SurveyNotes, *, only_sure: bool = False
) -> dict[str, str]:
    """Return each identifier with the one that stands for its patient; warn or ask about those `used` that are joined.

    It is asked where both readings are possible: `100-1` may be patient and examination, or site and patient.

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
    if only_sure or len(groups) == 1 or (asked and statistics.median(shared[left] for left in asked) > MOST_OF_ONE):
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
                    f"{text}, which begin alike; --yes takes those for one patient; if they are different people, let "
                    "no sign divide their identifiers, such as 1001 for 100-1, or tell them by numbers alone",
                    about_patients=True,
                )
            else:
                notes.warn(
                    f"{text}, which differ by an examination, a date, a view or spelling; they are taken for one "
                    "patient, which does no harm if they are several",
                    about_patients=True,
                )
    return {one: _shown(min(members)) for members in people.values() for one in members}


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
