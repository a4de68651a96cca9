"""What the names of folders and identifiers count: patients, days, examinations, sites, or groups of something."""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from pneumo_tfds.sources.words import PATIENT_NUMBER, may_be_split, split_of, words_for, words_of

_GROUPS, _SITES, _VISITS = map(words_for, ("groups", "sites", "visits"))
EXAMINATION = (
    r"(?:(?:acq|admission|after|baseline|before|control|copia|copie|copy|discharge|erect|exam|final|first|frontal|"
    r"follow[- ]?up|image|img|initial|kopie|lateral|post|scan|series|ses|sess|session|study|supine|view|vis|visit)"
    r"[-_ ]?[0-9]{0,3}|"
    r"(?:ap|bl|cr|ct|dr|dx|fu|fup|lat|ll|mr|pa|pre|rl|rx|t|tp|v|xr)[-_ ]?[0-9]{0,2})"
)
"""Expression for what stands beside a patient's identifier, or in their folder, for one of several examinations;
three digits behind `t` or the like, as in `T001`, count people."""

_YEAR, _MONTH, _DAY = "(19|20)[0-9]{2}", "(0[1-9]|1[0-2])", "(0[1-9]|[12][0-9]|3[01])"
DAY = _YEAR + _MONTH + _DAY
"""Expression for a day written with digits alone."""
_NAME_OF_MONTH = "(jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]{0,6}"
_TIME = "([-_ .t]*([01][0-9]|2[0-3])[-_:.h ]?[0-5][0-9]([-_:.m ]?[0-5][0-9])?s?)?"
_OF_MONTH = "(0?[1-9]|[12][0-9]|3[01])"
_BY_PARTS = (
    f"{_YEAR}[-_. /](0?[1-9]|1[0-2])[-_. /]{_OF_MONTH}",
    f"{_OF_MONTH}[-_. /]{_OF_MONTH}[-_. /]{_YEAR}",  # of Europe and America
    f"{_OF_MONTH}[-_. /]?{_NAME_OF_MONTH}[-_. /]?{_YEAR}",
    f"{_NAME_OF_MONTH}[-_. ]*{_OF_MONTH}(st|nd|rd|th)?[-_., ]+{_YEAR}",
    f"{_YEAR}[-_. ]?{_NAME_OF_MONTH}([-_. ]?{_DAY})?",
    f"{_YEAR}[-_. ]?(cw|kw|q|w)[-_. ]?[0-9]{{1,2}}",  # weeks and quarters
)
WHOLE_DAY = f"({DAY}|{'|'.join(_BY_PARTS)}){_TIME}"
"""Expression for a day in any usual spelling, in lower case, perhaps with a time."""
_DATE = re.compile(f"{_YEAR}([-_. ]?{_MONTH}([-_. ]?{_DAY})?)?|{WHOLE_DAY}", re.IGNORECASE)
_SHORT_DATE = re.compile(
    f"({_DAY}[-_. ]?{_MONTH}|{_MONTH}[-_. ]?{_DAY})[-_. ]?(19|20)?[0-9]{{2}}|[0-9]{{2}}[-_. ]?{_MONTH}[-_. ]?{_DAY}|"
    f"{DAY}[-_. ]+[0-9]{{1,6}}|{_OF_MONTH}[./]{_OF_MONTH}[./][0-9]{{2}}"
)
"""A date as one person's number may look too; only a whole level of them is taken for dates."""

RECENT_DAY = f"(199[0-9]|20[0-9]{{2}})[-_.]?{_MONTH}[-_.]?{_DAY}"
"""Expression for a day of an examination, as parts or digits alone."""

DIGITAL = "1990"
"""Year before which hardly any X-ray was a file."""

BIRTH_NUMBER = f"((19|20)?[0-9]{{2}}{_MONTH}{_DAY}|{_DAY}{_MONTH}[0-9]{{2}})[-+]?(?!00)[0-9]{{3}}[0-9a-z]"
"""Expression for the numbers of people in Sweden and its neighbours, a day of birth and four signs: `19500312-1234`."""

_SEX_AND_AGE = re.compile("[FM][-_ ]?[0-9]{1,2}Y?", re.IGNORECASE)


def is_date(name: str) -> bool:
    """Return whether a name is a year, a month or a day, such as `2019`, `2019-03`, `20190312` or `12.03.2019`."""
    return bool(_DATE.fullmatch(name))


@functools.lru_cache(maxsize=1 << 16)
def is_site(name: str) -> bool:
    """Return whether a name is that of a hospital or the like, such as `site 3`, and holds no word for a split."""
    found = set(words_of(name))
    return not _SITES.isdisjoint(found) and not (may_be_split(name) or _GROUPS & (found - _SITES))


@functools.lru_cache(maxsize=1 << 16)
def is_visit(name: str) -> bool:
    """Return whether a folder is one examination of a patient, such as `study2` or `2019-03-12`."""
    words = words_of(name)
    return (is_date(name) and len(name) > len("2019")) or (
        not _VISITS.isdisjoint(words) and all(word in _VISITS or word.isdecimal() for word in words)
    )


def is_examination(text: str) -> bool:
    """Return whether a text is what stands beside an identifier for an examination, a view or an image of it."""
    return re.fullmatch(EXAMINATION, text, re.IGNORECASE) is not None


def are_identifiers(names: Collection[str]) -> bool:
    """Return whether the folders of one level are named like patients: by numbers of their own, or by many names.

    One folder alone tells nobody apart. Dates, and numbers behind words such as `fold` or `hospital`, count something
    else.
    """
    if len(names) < 2 or are_dates(names) or sum(map(is_of_group, names)) > BY_CHANCE * len(names):
        return False
    if {name[:1].upper() for name in names if _SEX_AND_AGE.fullmatch(name)} == {"F", "M"}:
        return False
    return len(names) >= MANY_NAMES or all(any(c.isdecimal() for c in name) for name in names)


def are_dates(names: Collection[str]) -> bool:
    """Return whether all names are dates, in any usual spelling."""
    return all(map(is_date, names)) or (all(map(_SHORT_DATE.fullmatch, names)) and not birth_numbers(names))


def birth_numbers(names: Collection[str]) -> set[str]:
    """Return the names that are numbers by `BIRTH_NUMBER`; none if they may be days with a time or a count.

    Some must begin with a year before digital X-rays, and most must not end with a time of day.
    """
    found = {name for name in names if re.fullmatch(BIRTH_NUMBER, name, re.IGNORECASE)}
    born = any("1900" <= name[:4] < DIGITAL for name in found) and sum(map(is_date, found)) < len(found) / 2
    return found if born else set()


def is_of_group(name: str) -> bool:
    """Return whether a name has a word such as `fold`, behind which numbers count other things than patients."""
    return not _GROUPS.isdisjoint(words_of(name)) and not PATIENT_NUMBER.search(name)


def are_counted(names: Collection[str]) -> set[str]:
    """Return the names that differ from others in their numbers: of `p1`, `p2` and `COVID19` not the last.

    If there are many names without such a counterpart, they are identifiers without an order, and all are returned.
    """
    shapes = {name: re.sub("[0-9]+", "0", name.casefold()) for name in names}
    counts = Counter(shapes.values())
    alone = {name for name, shape in shapes.items() if counts[shape] == 1}
    return set(names) if len(alone) >= MANY_NAMES else set(names) - alone


def folds_among(names: Iterable[str]) -> list[str]:
    """Return the names of splits that are numbered like folds, such as `train_0`, `val_0`, `train_1` and `val_1`.

    They are if two splits have the same two numbers, years and days aside.
    """
    counts = {name: tuple(word for word in words_of(name) if word.isdecimal() and not is_date(word)) for name in names}
    named = {name: (split_of(name), numbers) for name, numbers in counts.items()}
    splits: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for split, numbers in named.values():
        splits[numbers].add(split)
    shared = [numbers for numbers, found in splits.items() if numbers and len(found - {""}) > 1]
    return sorted(name for name, (split, numbers) in named.items() if split and numbers) if len(shared) > 1 else []


BY_CHANCE = 0.1
"""Share of names with a word for a group that may be chance: the digits of a hash can be `bed`."""

MANY_NAMES = 12
"""So many different folders on one level are patients even where their names have no digits."""
