"""Identifiers that differ by an examination, a date, a view or their spelling, and are of one patient.

The rule is the cautious one: two people taken for one cost nothing, one taken for two can be in training and in test.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable

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
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    possible: set[str] = set()
    for identifier in sorted(set(identifiers) - {""}):
        whole, left, sure = compared(identifier)
        groups[left].append((identifier, whole))
        possible |= set() if sure else {left}
    shared = {left: len(members) for left, members in groups.items() if len(members) > 1}
    asked = shared.keys() & possible
    if only_sure or len(groups) == 1 or (asked and statistics.median(shared[left] for left in asked) > MOST_OF_ONE):
        shared, asked = {left: count for left, count in shared.items() if left not in asked}, set()
    of_use = {compared(identifier)[1] for identifier in set(used)}
    if sum(shared[left] for left in asked) <= FEW * len(set(identifiers)):
        asked = set()
    for lefts in (asked & of_use, (shared.keys() - asked) & of_use):
        if lefts:
            examples = [whole for _, whole in groups[min(lefts)][:2]]
            shown = "" if examples[0].startswith(HEADER_PATIENT) else f", such as {' and '.join(map(repr, examples))}"
            text = f"{counted(len(lefts), 'patient')} by the {rule} may have several identifiers{shown}"
            if lefts <= asked:
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
    stand_for = {left: min(members)[1] for left, members in groups.items()}
    return {one: stand_for[left] if left in shared else whole for left, group in groups.items() for one, whole in group}
