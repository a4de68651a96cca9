"""Corrections: labels that a person changed and images that a person removed, in a CSV beside the source.

`python -m pipeline.suspects` writes such a file, and a person fills in its column `decision`. The files of the source
stay as they are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.csv_text import Row, decode_text, read_rows
from pneumo_tfds.sources.inventory import LABELS, Image, Source
from pneumo_tfds.sources.survey import EXAMPLES, LeftOut

KEEP, REMOVE = "keep", "remove"
COLUMNS = ("filename", "sha256", "label", "decision")
"""What a file of corrections must have; other columns are for the person."""
SUBTYPES = dict(zip(LABELS, ("normal", "unknown"), strict=True))
"""The subtype of an image whose label is corrected to this."""


def decided(files: Sequence[Path]) -> frozenset[str]:
    """Return the names of the images about which a person decided in files of corrections.

    Raises:
        InputError: a file is no table of corrections.
    """
    return frozenset(row["filename"] for path in files for _, row in _rows(path.expanduser()) if row["decision"])


def corrected(source: Source, files: Sequence[Path]) -> Source:
    """Return a source with the corrections of files, one after the other; its survey says how many of each there are.

    Raises:
        InputError: a file is no table of corrections, or was made for other images: a name is not in the source, its
            label is another, or the content of its file is.
    """
    for path in files:
        source = _corrected(source, path.expanduser())
    return source


def _rows(path: Path) -> list[tuple[int, Row]]:
    try:
        text = decode_text(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"--corrections {path}: cannot be read ({reason_of(error)}); give a suspects.csv") from error
    columns, rows = read_rows(text, str(path))
    if missing := [column for column in COLUMNS if column not in columns]:
        raise InputError(f"{path}: has no column {missing[0]}; give a suspects.csv that pipeline.suspects wrote")
    return [*rows]


def _corrected(source: Source, path: Path) -> Source:
    images = {image.name: image for image in source.images}
    changed: dict[str, Image] = {}
    removed: list[str] = []
    counts: Counter[str] = Counter()
    for line, row in _rows(path):
        name, where = row["filename"], f"{path}, line {line}"
        decisions = {value.lower(): value for value in (*LABELS, KEEP, REMOVE)} | {"": KEEP}
        decision = decisions.get(row["decision"].lower())
        if decision is None:
            allowed = f"{', '.join(LABELS)}, {REMOVE}, {KEEP} or nothing"
            raise InputError(f"{where}: the decision {row['decision']!r} is not one of {allowed}")
        if (image := images.get(name)) is None:
            raise InputError(f"{where}: {name} is not in {source.where}; give the corrections of this data set")
        if decision == image.label:
            continue
        if row["label"] != image.label:
            raise InputError(
                f"{where}: {name} was {row['label']} when the file was written and is {image.label} in {source.where}; "
                "give all corrections since, in order, and read the source in the same way"
            )
        if decision == KEEP:
            continue
        if hashlib.sha256(source.read(image)).hexdigest() != row["sha256"]:
            raise InputError(f"{where}: {name} in {source.where} is another picture; give the corrections of this one")
        if decision == REMOVE:
            removed.append(name)
        else:
            changed[name] = replace(image, label=decision, subtype=SUBTYPES[decision])
            counts[f"from {image.label} to {decision}"] += 1
    kept = tuple(changed.get(image.name, image) for image in source.images if image.name not in set(removed))
    told = ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items())) or "no label"
    note = f"{path.name} corrected {told}, and removed {counted(len(removed), 'image')}"
    survey = replace(source.survey, notes=(*source.survey.notes, note))
    if removed:
        group = LeftOut(f"removed by {path.name}", len(removed), tuple(removed[:EXAMPLES]))
        survey = replace(survey, left_out=(*survey.left_out, group))
    return replace(source, images=kept, survey=survey)
