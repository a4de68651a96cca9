"""Identifiers of patients: what the name of a file tells, and how identifiers are compared.

It is disputed whether the numbers in the names of the published archive restart. The rule here is the cautious one: a
number that occurs under `bacteria` and under `virus`, or in `train` and in `val`, is one patient. Two children taken
for one cost nothing; one child taken for two can be in training and in validation.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Collection

from pneumo_tfds.sources import words

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
    "noname none normal notavailable notknown null patient patientid pneumonia removed sick test unavailable unbekannt "
    "unknown unspecified xxx inconnu desconocido"
)
"""Texts that stand in headers and tables in place of an identifier, in lower case and without punctuation."""

_SHORTENED = re.compile(r"[0-9][.,][0-9]+e\+?[0-9]{2,}", re.IGNORECASE)
"""A long number as spreadsheets write it, such as `1.23457E+11`; its last digits are lost."""

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


def unknown(name: str) -> str:
    """Return the patient of a file of which nothing tells one; copies of one name, ` (1)` and the like, share it."""
    path, suffix = posixpath.splitext(name)
    return f"{UNKNOWN_PATIENT}{words.without_copy(path)}{suffix}"


def own(name: str, names: Collection[str]) -> str:
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


def study_uid(identifier: str) -> str:
    """Return an identifier if it is that of a study, which is one examination and no patient; else empty."""
    return identifier if _UID.fullmatch(identifier) else ""


def is_shortened(identifier: str) -> bool:
    """Return whether an identifier is a long number whose last digits a spreadsheet has rounded away."""
    return _SHORTENED.fullmatch(identifier) is not None


def in_brackets(patient: str) -> str:
    """Return a patient as a message shows it; empty for one of a header, whose hash tells nobody anything."""
    return "" if patient.startswith(HEADER_PATIENT) else f" ({patient!r})"
