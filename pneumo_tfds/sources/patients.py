"""Who is on an X-ray: patient and subtype from its file name.

The data set names patients only in its file names, and whether its counters restart is disputed. The rule here is the
conservative one: a number that occurs under `bacteria` and under `virus` is one patient, and so is a number that occurs
in `train` and in `val`. Putting two children on one side of a split costs nothing; one child on both sides leaks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_PERSON = re.compile(r"person(?P<number>[0-9]{1,18})_(?P<subtype>bacteria|virus)_[0-9]+(?:_[0-9]+)?", re.IGNORECASE)
_NORMAL = re.compile(r"(?P<series>(?:NORMAL2-)?IM)-(?P<number>[0-9]{1,18})-[0-9]+(?:-[0-9]+)?", re.IGNORECASE)
_MENDELEY = re.compile(r"(?P<subtype>BACTERIA|VIRUS|NORMAL)-(?P<number>[0-9]{1,18})-[0-9]+", re.IGNORECASE)


@dataclass(frozen=True)
class Identity:
    """What a file name tells."""

    patient: str
    """`person12`, `IM-115`, `NORMAL2-IM-115`, `patient7422`; `file:<name>` when the name tells nothing."""
    subtype: str
    """`normal`, `bacteria`, `virus` or `unknown`."""
    known: bool
    """False if the name tells no patient, so that the file stands for one of its own."""


def identify(name: str, label: str) -> Identity:
    """Read patient and subtype from the name of an image.

    Args:
        name: path of the image within its source, with `/`.
        label: `NORMAL` or `PNEUMONIA`; decides the subtype where the name does not tell it.
    """
    stem = PurePosixPath(name).stem
    default = "normal" if label == "NORMAL" else "unknown"
    if match := _PERSON.fullmatch(stem):
        return Identity(f"person{int(match['number'])}", match["subtype"].lower(), True)
    if match := _NORMAL.fullmatch(stem):
        return Identity(f"{match['series'].upper()}-{int(match['number'])}", default, True)
    if match := _MENDELEY.fullmatch(stem):
        return Identity(f"patient{int(match['number'])}", match["subtype"].lower(), True)
    return Identity(f"file:{name}", default, False)
