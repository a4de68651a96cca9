"""Read patient and subtype from the file name of an X-ray.

The data set names patients only in its file names, and it is disputed whether their numbers restart. The rule here is
the cautious one: a number that occurs under `bacteria` and under `virus`, or in `train` and in `val`, is one patient.
Two children taken for one cost nothing; one child taken for two can be in training and in validation.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_PERSON = re.compile(r"person(?P<number>[0-9]{1,18})_(?P<subtype>bacteria|virus)_[0-9]+(?:_[0-9]+)?", re.IGNORECASE)
_NORMAL = re.compile(r"(?P<series>(?:NORMAL2-)?IM)-(?P<number>[0-9]{1,18})-[0-9]+(?:-[0-9]+)?", re.IGNORECASE)
_MENDELEY = re.compile(r"(?P<subtype>BACTERIA|VIRUS|NORMAL)-(?P<number>[0-9]{1,18})-[0-9]+", re.IGNORECASE)

UNKNOWN_PATIENT = "file:"
"""Prefix of the patient of a file whose name tells none: the file is a patient of its own."""


def identify(name: str, label: str) -> tuple[str, str]:
    """Read patient and subtype from the name of an image.

    Args:
        name: path of the image within its source, with `/`.
        label: `NORMAL` or `PNEUMONIA`; decides the subtype if the name does not.

    Returns:
        The patient, such as `person12`, `NORMAL2-IM-115`, `patient7422`, or `file:<name>` if the name tells none, and
        the subtype: `normal`, `bacteria`, `virus` or `unknown`.
    """
    stem = PurePosixPath(name).stem
    default = "normal" if label == "NORMAL" else "unknown"
    if match := _PERSON.fullmatch(stem):
        return f"person{int(match['number'])}", match["subtype"].lower()
    if match := _NORMAL.fullmatch(stem):
        return f"{match['series'].upper()}-{int(match['number'])}", default
    if match := _MENDELEY.fullmatch(stem):
        return f"patient{int(match['number'])}", match["subtype"].lower()
    return f"{UNKNOWN_PATIENT}{name}", default
