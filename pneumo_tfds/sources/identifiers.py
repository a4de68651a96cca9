"""Identifiers of patients: what the name of a file tells, and how identifiers are compared.

It is disputed whether the numbers in the names of the published archive restart. The rule here is the cautious one: a
number that occurs under `bacteria` and under `virus`, or in `train` and in `val`, is one patient. Two children taken
for one cost nothing; one child taken for two can be in training and in validation.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import posixpath
import re
import unicodedata
from collections.abc import Collection

from pneumo_tfds.sources import numbering, words

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
    (rf"(?P<series>NORMAL2-IM|IM)-(?!{numbering.DAY}(?![0-9]))(?P<number>[0-9]{{1,18}})-[0-9]+", "{series}-{number}"),
    (r"(?P<subtype>BACTERIA|VIRUS|NORMAL)-(?P<number>[0-9]{1,18})-[0-9]+", "patient{number}"),  # Mendeley's names
    (r"(?P<number>000[0-9]{5})_[0-9]{3}(?![0-9])", "patient{number}"),  # NIH ChestX-ray14; a date is no patient
    (
        rf"(?:{words.PERSON})[-_ ]?(?P<number>[0-9]{{1,18}})"
        r"(?![0-9]|[-_ ]?(?:y|yo|yr|yrs|years?|m|mo|months?|d|days?|w|weeks?)(?![A-Za-z]))",  # an age
        "patient{number}",
    ),
)
_PATTERNS = tuple((re.compile(rf"(?<![A-Za-z0-9]){pattern}", re.IGNORECASE), made) for pattern, made in _NAMES)
_DAY_FOR_NUMBER = re.compile(rf"(?<![A-Za-z0-9])(?:{words.PERSON})[-_ ]?{numbering.RECENT_DAY}(?![0-9])", re.IGNORECASE)

_PLACEHOLDERS = words.words_for("placeholders") | words.words_for("ditto")
"""Texts that stand in headers and tables in place of an identifier, in lower case and without punctuation."""

_NEGATIVE = {"-1", "-9", "-99", "-999"}
"""Numbers that stand for a missing value."""

_STAND_INS = words.set_of("0 abc abcd abc123 demo demo1 example sample temp test test1 test2 test123 tmp xyz") | {
    *(digit * count for digit in "123456789" for count in range(2, 13)),
    *("1234567890"[:count] for count in range(3, 11)),
}
"""What people type where an identifier is demanded; it may also be a real one."""

_SHORTENED = re.compile(r"[0-9]([.,][0-9]+e\+?|e\+)[0-9]{2,}", re.IGNORECASE)
"""A long number as spreadsheets write it, such as `1.23457E+11`; its last digits are lost. `1e5` may be a code."""

_BETWEEN = r"[\s_.\-/]+"
_DAY_END = rf"(?:{_BETWEEN}{numbering.WHOLE_DAY})"
_SURE_END = rf"(?:{_DAY_END}|{_BETWEEN}(?:(?:19|20)[0-9]{{2}}|{numbering.EXAMINATION})|{_BETWEEN}?\([0-9]+\))"
_POSSIBLE_END = rf"(?:{_BETWEEN}[^\W_]+|(?<=[0-9])(?!(?<=[0-9]{{7}})k)[a-z](?![^\W_]))"
_DAY_ENDS, _SURE_ENDS, _ENDS = map(
    re.compile, (f"{_DAY_END}{_SURE_END}*", f"{_SURE_END}+", f"(?:{_SURE_END}|{_POSSIBLE_END})+")
)
"""What may stand behind an identifier of a patient to tell their examinations apart; a day, even behind a mere name."""

_BEFORE = re.compile(
    rf"(?:{numbering.WHOLE_DAY}|{numbering.EXAMINATION}){_BETWEEN}"
    rf"(?=(?:(?!{_DAY_END}$).)*?(?:[^\W\d_].*[0-9]|[0-9]{{4}}))(?!{numbering.WHOLE_DAY}$)"
)
_PERSON_BEHIND = rf"{_BETWEEN}(?!{numbering.WHOLE_DAY}|(?:19|20)[0-9]{{2}}(?![0-9]))[0-9]"
_IN_GROUPS = re.compile(
    rf"({numbering.BIRTH_NUMBER}|[0-9]{{1,3}}(\.[0-9]{{3}})+(-[0-9k]{{1,2}})?|[0-9]{{3}}-[0-9]{{2}}-[0-9]{{4}}|"
    r"[0-9]{3} [0-9]{3} [0-9]{4}|"
    f"([0-9]{_PERSON_BEHIND}{{2,}}|[0-9]{{2}}{_PERSON_BEHIND}{{3,}}|[0-9]{{3}}{_PERSON_BEHIND}{{4,}}|"
    rf"(19|20)[0-9]{{2}}{_PERSON_BEHIND}{{3,}}))(?![^\W_])"
)
"""One number in groups of digits, as states write theirs: `19500312-1234`, `12.345.679-k`, `078-05-1120`; or that of a
site or a year and that of a person, which has more digits: `01-001`, `2015/001`."""
_WORD_AND_NUMBER = re.compile(r"[^\W\d_]+[\s_.\-]*[0-9]+")

SHORT = 7
"""Letters and digits below which signs tell identifiers apart: `1-11` and `11-1` are two people."""

LONGEST = 64
"""Characters of an identifier above which no examinations are looked for in it."""

_UID = re.compile(r"[0-2](\.[0-9]+){4,}")
"""A unique identifier of DICOM (PS3.5, 9.1); folders have those of studies."""


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


def has_day_for_number(name: str) -> bool:
    """Return whether a day stands in the name of a file where the number of a patient does: `patient_20190312_1`."""
    return bool(_DAY_FOR_NUMBER.search(posixpath.basename(name)))


def unknown(name: str) -> str:
    """Return the patient of a file of which nothing tells one; copies of one name, ` (1)` and the like, share it."""
    path, suffix = posixpath.splitext(name)
    return f"{UNKNOWN_PATIENT}{words.without_copy(path)}{suffix}"


def own(name: str, names: Collection[str]) -> str:
    """Return the patient by `unknown`, but only of copies of a file among `names` where copies have numbers.

    Files renamed together are `normal (1).png`, `normal (2).png` and so on without being copies.
    """
    plain = unknown(name)
    is_numbered = re.search(r"\([0-9]+\)$", posixpath.splitext(name)[0])
    return f"{UNKNOWN_PATIENT}{name}" if is_numbered and plain.removeprefix(UNKNOWN_PATIENT) not in names else plain


def is_unknown(patient: str) -> bool:
    """Return whether nothing tells the patient."""
    return patient.removeprefix(TEST_PATIENT).startswith(UNKNOWN_PATIENT)


def normal_identifier(text: str) -> str:
    """Return an identifier as it is told: `7`, `7.0`, `7,0` and `007` are one patient, and so are `A1` and `a1`.

    Letters of Unicode that look alike are alike, numbers may be those that Excel keeps as text, `'7` and `="7"`, and
    have divided thousands, `12,345`. Empty if the text stands for no patient, such as `Anonymous`.
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip("='\" ")
    letters = re.sub(r"[\W_]", "", plain)
    if plain in _NEGATIVE or letters in _PLACEHOLDERS or _PLACEHOLDERS.issuperset(re.findall(r"[^\W_]+", plain)):
        return ""
    if number := re.fullmatch(r"0*([0-9]+)(\.0+|,00?)?", plain):
        return number[1]
    return re.sub("[.,]", "", plain) if re.fullmatch(r"[1-9][0-9]{0,2}([.,][0-9]{3})+", plain) else plain


def compact(identifier: str) -> str:
    """Return an identifier by `normal_identifier` without all that is spelled in different ways.

    `mrn-0100` and `MRN 100` give `mrn100`; `1234567-8`, `12.345.678` and `012345678` give `12345678`; `Müller, Jan` and
    `jan_muller` give `janmuller`.
    """
    if study_uid(identifier) or words.UUID.fullmatch(identifier):
        return identifier.replace("-", "")
    plain = "".join(char for char in unicodedata.normalize("NFKD", identifier) if not unicodedata.combining(char))
    parts = re.findall(r"[^\W_]+", plain)
    if not any(map(str.isdecimal, plain)):
        return "".join(sorted(parts))
    joined = "".join(parts)
    if len(joined) < SHORT and not _WORD_AND_NUMBER.fullmatch(plain):
        return identifier
    return re.sub("(?<![0-9])0+(?=[0-9])", "", joined)


def without_examination(identifier: str) -> tuple[str, str]:
    """Return what is left of an identifier without an examination, date, view or the like, by `compact`.

    `mrn100_20190301`, `mrn100_pa` and `mrn-0100` give `mrn100`; `01-001` stays whole, a site and a number.
    What is left has a digit, or stood before a day.

    Returns:
        What is surely left, and what may be left: of `100-1` all, as 100 may be a site or a family, and `100`.
    """
    if identifier.isdecimal() or len(identifier) > LONGEST or words.UUID.fullmatch(identifier) or study_uid(identifier):
        return compact(identifier), compact(identifier)
    grouped = None if words.PATIENT_NUMBER.search(identifier) else _IN_GROUPS.match(identifier)
    before = None if grouped else _BEFORE.match(identifier)
    rest = identifier[before.end() :] if before else identifier
    whole = [grouped.end()] if grouped else [match.end() for match in words.PATIENT_NUMBER.finditer(rest)]
    digit = re.search("[0-9]", rest)
    first = whole[-1] if whole else digit.end() if digit else len(rest)
    named = [end for end in range(1, first) if not whole and _DAY_ENDS.fullmatch(rest, end)]

    def left(ends: re.Pattern[str]) -> str:
        numbered = (end for end in range(first, len(rest)) if ends.fullmatch(rest, end))
        return compact(normal_identifier(rest[: next(itertools.chain(named, numbered), len(rest))]) or identifier)

    return left(_SURE_ENDS), left(_ENDS)


def hashed_person(name: str, born: str) -> str:
    """Return a patient, as `hashed` does, for the name and the day of birth in a header; empty without a name."""
    plain = normal_identifier(name.partition("=")[0])  # the name in ideographs may follow (PS3.5, 6.2.1.1)
    return f"{HEADER_PATIENT}{short_hash(f'{compact(plain)} {born}')}" if plain else ""


def hashed(identifier: str) -> str:
    """Return a patient for an identifier of a header, if there is one; real ones must not get into a dataset.

    What `without_examination` leaves of it follows as two more hashes, so that `compared` can tell.
    """
    if not identifier:
        return ""
    hashes = [f"{HEADER_PATIENT}{short_hash(_number(text))}" for text in compared(identifier)]
    return " ".join(hashes if len(set(hashes)) > 1 else hashes[:1])


@functools.lru_cache(maxsize=1 << 16)
def in_any_place(patient: str) -> str:
    """Return what is alike for one patient in all places: `P-001`, `Patient_001_2` and `hashed("mrn 1")` are."""
    surely = compared(patient)[1]
    return surely if surely.startswith(HEADER_PATIENT) else f"{HEADER_PATIENT}{short_hash(_number(surely.casefold()))}"


def _number(identifier: str) -> str:
    """Return an identifier by `compact`, without a word such as `patient` before a number."""
    if not words.PATIENT_NUMBER.fullmatch(identifier):
        return identifier
    return re.sub("^[^0-9]+0*(?=[0-9])", "", identifier)


def compared(patient: str) -> tuple[str, str, str]:
    """Return a patient, by `hashed` or as others tell it, by `compact`, and what `without_examination` gives of it."""
    if not patient.startswith(HEADER_PATIENT):
        return compact(patient), *without_examination(patient)
    whole, *left = patient.split(" ")
    surely, perhaps = left or (whole, whole)
    return whole, surely, perhaps


def short_hash(identifier: str) -> str:
    """Return a hash that stands for an identifier of a header, 12 hexadecimal digits."""
    return hashlib.sha256(identifier.encode()).hexdigest()[:12]


def study_uid(identifier: str) -> str:
    """Return an identifier if it is that of a study, which is one examination and no patient; else empty."""
    return identifier if _UID.fullmatch(identifier) else ""


def is_shortened(identifier: str) -> bool:
    """Return whether an identifier is a long number whose last digits a spreadsheet has rounded away."""
    return _SHORTENED.fullmatch(identifier) is not None


def is_stand_in(patient: str) -> bool:
    """Return whether an identifier may have been typed because one was demanded, such as `12345`."""
    left = compared(patient)[2]
    return left in _STAND_INS or left in {f"{HEADER_PATIENT}{short_hash(text)}" for text in _STAND_INS}


def in_brackets(patient: str) -> str:
    """Return a patient as a message shows it; empty for one of a header, whose hash tells nobody anything."""
    return "" if patient.startswith(HEADER_PATIENT) else f" ({patient!r})"
