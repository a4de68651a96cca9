"""Ask about cells that stand for those below them, or for several people."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.csv_text import Row
from pneumo_tfds.sources.identifiers import normal_identifier
from pneumo_tfds.sources.image_kinds import MOSTLY
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.words import words_for

_DITTO = words_for("ditto")

_WHOLE_NUMBER = re.compile("[0-9]+,0+|[1-9][0-9]{0,2}(,[0-9]{3})+")
"""A whole number as some programs write it: `1,0` is 1, and `1,000` a thousand."""

MOST_ROWS = 20
"""Most rows of one merged cell; where more follow a filled one, most rows have no value."""

LEAST_CELLS = 3
"""Fewest filled cells that show how empty ones follow them."""


def ask_about_cells(rows: Iterable[tuple[int, Row]], chosen: Mapping[str, str], notes: SurveyNotes) -> None:
    """Ask about merged cells of label and patient, and about cells with several patients; `chosen` is as of a table."""
    rows = list(rows)
    if merged := merged_in([row[chosen["label"]] for _, row in rows] if "label" in chosen else ()):
        notes.ask(f"the column {chosen['label']} {merged}; --yes leaves these rows out")
    cells = [row[chosen["patient"]] for _, row in rows] if "patient" in chosen else []
    if merged := merged_in(cells):
        notes.ask_about_patients(f"the column {chosen['patient']} {merged}; --yes takes their patients for unknown")
    whole = set(map(normal_identifier, cells))
    for cell in itertools.filterfalse(_WHOLE_NUMBER.fullmatch, dict.fromkeys(cells)):
        parts = [part.strip() for part in re.split(r"[;,|&+]", cell) if normal_identifier(part)]
        alone = [part for part in parts if normal_identifier(part) in whole - {normal_identifier(cell)}]
        if alone and len(parts) > 1:
            notes.ask_about_patients(
                f"the column {chosen['patient']} holds {cell!r}, and {alone[0]!r} alone in other rows; --yes takes "
                "these for different people, whose images may end in training and in validation; write one identifier "
                "into each cell"
            )
            return


def merged_in(cells: Sequence[str]) -> str:
    """Return which cells of a column seem to mean what stands above them, and the remedy; empty if none do.

    Of merged cells, a spreadsheet saves the first, and the others as empty.
    """
    remedy = "fill each with what it stands for"
    if ditto := [cell for cell in cells if _is_ditto(cell)]:
        return f"holds {ditto[0]!r} in {counted(len(ditto), 'row')}; {remedy}"
    filled = [place for place, cell in enumerate(cells) if cell]
    if len(filled) < LEAST_CELLS or filled[0] > 0:
        return ""
    spans = [end - start for start, end in itertools.pairwise(filled)]
    if len(filled) == len(cells) or max(spans) > MOST_ROWS or sum(span > 1 for span in spans) < MOSTLY * len(spans):
        return ""
    empty = counted(len(cells) - len(filled), "row")
    return f"is empty in {empty}, each below a filled one, as of merged cells; if they were, {remedy}"


def _is_ditto(cell: str) -> bool:
    return re.sub(r"[\s\W_]", "", cell.casefold()) in _DITTO or bool(re.fullmatch("[-\\s]*(\"|''|〃|″)[-\\s]*", cell))
