"""Other data sets: a CSV that says which file has which label, and whose it is."""

from __future__ import annotations

import csv
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inventory import LABELS, SUBTYPES, Image
from pneumo_tfds.sources.layout import writable
from pneumo_tfds.sources.patients import identify

_LABELS = {**{label: label for label in LABELS}, "0": LABELS[0], "1": LABELS[1]}
_SPLITS = {"": "", "train": "train", "val": "val", "validation": "val", "test": "test"}


def read_table(path: Path) -> tuple[Image, ...]:
    """Read a CSV with columns `path,label[,patient][,subtype][,split]`.

    Paths are relative to the CSV's folder, labels `NORMAL` or `PNEUMONIA` in any letter case (or 0 and 1). Without a
    patient the file name decides, and a name that tells none makes the file a patient of its own.

    Raises:
        InputError: no such columns, an unknown label, subtype or split, a path listed twice, or a missing file; the
            message names the line.
    """
    images: dict[str, Image] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            columns = [column.strip().lower() for column in rows.fieldnames or ()]
            if not {"path", "label"} <= set(columns):
                raise InputError(f"{path}: needs a first line with the columns path,label[,patient]; found {columns}")
            rows.fieldnames = columns
            for row in rows:
                image = _image(row, path, rows.line_num)
                if image.name in images:
                    raise InputError(f"{path}, line {rows.line_num}: {image.name} is listed twice; keep one line")
                images[image.name] = image
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a UTF-8 CSV ({error})") from error
    return tuple(sorted(images.values()))


def _image(row: dict[str, str | None], table: Path, line: int) -> Image:
    def cell(column: str) -> str:
        return (row.get(column) or "").strip()

    name, label = cell("path"), _LABELS.get(cell("label").upper())
    if label is None:
        raise InputError(f"{table}, line {line}: unknown label {cell('label')!r}; use NORMAL or PNEUMONIA")
    if cell("split").lower() not in _SPLITS:
        raise InputError(
            f"{table}, line {line}: unknown split {cell('split')!r}; use train, val, test or leave it empty"
        )
    if not writable(name + cell("patient")):
        raise InputError(f"{table}, line {line}: has control characters in {name!r} or the patient; remove them")
    file = table.parent / name
    if not name or not file.is_file():
        raise InputError(f"{table}, line {line}: there is no file {file}; mend the path (relative to the CSV)")
    identity = identify(Path(name).as_posix(), label)
    subtype = cell("subtype").lower() or identity.subtype
    if subtype not in SUBTYPES:
        raise InputError(f"{table}, line {line}: unknown subtype {subtype!r}; use one of {', '.join(SUBTYPES)}")
    patient = cell("patient") or identity.patient
    return Image(Path(name).as_posix(), label, patient, subtype, _SPLITS[cell("split").lower()], file.stat().st_size)
