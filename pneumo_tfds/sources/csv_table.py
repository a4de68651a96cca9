"""Read a table of images: a CSV that lists path and label, and perhaps patient, subtype and split."""

from __future__ import annotations

import csv
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inventory import LABELS, SPLIT_WORDS, SUBTYPES, Image
from pneumo_tfds.sources.layout import is_printable
from pneumo_tfds.sources.patients import identify

_LABEL_WORDS = {**{label: label for label in LABELS}, "0": LABELS[0], "1": LABELS[1]}


def read_table(path: Path) -> tuple[Image, ...]:
    """Read a CSV with the columns `path,label[,patient][,subtype][,split]`.

    Paths are relative to the CSV's folder. Labels are `NORMAL` or `PNEUMONIA` in any letter case, or 0 and 1. Without a
    patient the file name decides, and a file whose name tells none is a patient of its own.

    Raises:
        InputError: a column is missing, a label, subtype or split is unknown, a path is listed twice, or a file does
            not exist. The message names the line.
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
                try:
                    cells = {column: (cell or "").strip() for column, cell in row.items() if column}
                    image = _image(cells, path.parent)
                    if image.name in images:
                        raise InputError(f"{image.name} is listed twice; keep one line")
                except InputError as error:
                    raise InputError(f"{path}, line {rows.line_num}: {error}") from error
                images[image.name] = image
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a UTF-8 CSV ({error})") from error
    return tuple(sorted(images.values()))


def _image(row: dict[str, str], folder: Path) -> Image:
    name, label, split = row["path"], _LABEL_WORDS.get(row["label"].upper()), row.get("split", "").lower()
    if label is None:
        raise InputError(f"unknown label {row['label']!r}; use NORMAL or PNEUMONIA")
    if split and split not in SPLIT_WORDS:
        raise InputError(f"unknown split {row['split']!r}; use train, val, test or leave it empty")
    if not is_printable(name + row.get("patient", "")):
        raise InputError(f"has control characters in {name!r} or the patient; remove them")
    file = folder / name
    if not name or not file.is_file():
        raise InputError(f"there is no file {file}; correct the path (relative to the CSV)")
    name = Path(name).as_posix()
    patient, subtype = identify(name, label)
    subtype = row.get("subtype", "").lower() or subtype
    if subtype not in SUBTYPES:
        raise InputError(f"unknown subtype {subtype!r}; use one of {', '.join(SUBTYPES)}")
    return Image(name, label, row.get("patient") or patient, subtype, SPLIT_WORDS.get(split, ""), file.stat().st_size)
