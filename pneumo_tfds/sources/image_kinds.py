"""What cells, folders and names of files say of view, body part and kind of image, in the words of DICOM headers."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from pneumo_tfds.decode.dicom_header import HeaderFacts
from pneumo_tfds.decode.fitness import remarks, unfit
from pneumo_tfds.decode.header_words import is_chest, is_frontal, is_known_view, is_sideways, other_part
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.words import BLANK, FILLERS, decomposed, set_of, whole_words, words_for, words_of

_SIDE_VIEWS = set_of("l r")
"""Views of the side as tables write them, beside those of DICOM headers."""
_FILM = words_for("film")
"""Words for radiography in a column of modalities."""
_OTHER_MODALITIES = words_for("other_modalities")
_OTHER_CODES = set_of("mg mr nm pt rm tac tc us")
"""Modalities that mean something else beside other things: `US` is a country, and `MR` a man."""

_FINDING = re.compile("s[ck]olios")
"""Words for findings that name a part of the body."""

MOSTLY = 0.8
"""Share of the cells of a column that must be understood if it is to tell view, body part or kind of image."""


def unfit_row(cells: Mapping[str, str]) -> str:
    """Return why view, modality and body part of a row say that its image is no frontal chest radiograph, or nothing.

    `cells` gives the text of each of these roles that the table has.
    """
    view, modality = _plain(cells.get("view", "")), cells.get("modality", "")
    if view.lower() in _SIDE_VIEWS:
        return f"view {view} is not frontal"
    if not _FILM.isdisjoint(words_of(_plain(modality))):
        modality = ""
    return unfit(HeaderFacts(view=view, modality=modality, body_part=cells.get("body_part", "")))


def warn_of_views(column: str, views: Sequence[str], notes: SurveyNotes) -> None:
    """Warn of views that are neither known to be frontal nor left out."""
    known = (_plain(view) for view in views if _plain(view).lower() not in _SIDE_VIEWS)
    for text, count in Counter(text for view in known for text in remarks(HeaderFacts(view=view))).most_common(5):
        notes.warn(f"the column {column} says of {counted(count, 'row')}: {text}; they are used")


def kinds_of_image(cells: Sequence[str]) -> dict[str, Counter[str]]:
    """Return role to the values of a column that name other images than frontal chest radiographs.

    It is empty unless nearly all cells name views, body parts or modalities, and nothing else or at least the chest or
    a frontal view in some rows. A word for a body part or modality in a few rows, such as `scoliosis`, is a finding; it
    counts where others name the chest or radiographs.
    """
    counts = Counter(cell for cell in cells if cell.casefold() not in BLANK | {""})
    told = {cell: _told(_plain(cell)) for cell in counts}
    if {cell.casefold() for cell in counts} == {"f", "l"}:  # frontal and lateral
        told |= {cell: "fit" for cell in counts if cell.casefold() == "f"}
    fit = "fit" in told.values()
    if fit:
        told |= {cell: "modality" for cell in counts if cell.casefold() in _OTHER_CODES}
        told |= {cell: "view" for cell in counts if cell.casefold() in _SIDE_VIEWS}
    mostly = sum(counts[cell] for cell, role in told.items() if role) >= MOSTLY * counts.total()
    loosely = {cell: role_in(cell) for cell in counts}  # other words stand beside, as in `W Chest Lat.`
    if mostly:
        told |= {cell: role for cell, role in loosely.items() if not told[cell] and fit}
    else:
        told, fit = loosely, "fit" in loosely.values()
        if not fit or sum(counts[cell] for cell, role in told.items() if role) < MOSTLY * counts.total():
            return {}
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for cell, role in told.items():
        if role == "view" or (role in ("modality", "body_part") and (fit or counts.total() == len(cells))):
            kinds[role][cell] = counts[cell]
    return dict(kinds)


def views_not_understood(cells: Sequence[str]) -> Counter[str]:
    """Return the values that are not understood in a column of which nearly all cells name a view."""
    counts = Counter(cell for cell in cells if cell.casefold() not in BLANK | {""})
    named = {cell for cell in counts if is_frontal(_plain(cell)) or is_sideways(_plain(cell))}
    rest = Counter({cell: count for cell, count in counts.items() if cell not in named and not _told(_plain(cell))})
    return rest if rest.total() <= (1 - MOSTLY) * counts.total() and counts.keys() - rest.keys() <= named else Counter()


def marked_unfit(name: str) -> int | None:
    """Return the mark by which a column of 0 and 1 says that an image is no frontal chest radiograph; None without one.

    It is 1 for names such as `lateral` and `is_hand`, and 0 for `frontal` and `chest`. Words that hold one for the
    chest or the spine, such as `pneumothorax` and `scoliosis`, are findings.
    """
    role, found = _told(_plain(name)), words_of(name)
    finding = any(_FINDING.match(word) for word in found) or (
        role == "fit" and not all(word in FILLERS | _FILM or word.isdecimal() or is_known_view(word) for word in found)
    )
    silent = not role or role == "other" or finding or found[-1:] in [("ap",), ("pa",)]
    return None if silent else int(role != "fit")


def role_of_name(name: str) -> str:
    """Return the role by which the name of a file is that of another image: `view`, `modality`, `body_part` or empty.

    Two letters may be initials there, and letters in a longer code are chance.
    """
    return role_in(" ".join(word for word in whole_words(name) if len(word) > len("RL") or word in _OTHER_MODALITIES))


@functools.lru_cache(maxsize=1 << 16)
def role_in(text: str) -> str:
    """Return the role by which a text is unfit, `fit` for the chest or a frontal view, or empty."""
    text = " ".join(words_of(_plain(text)))
    if not _OTHER_MODALITIES.isdisjoint(words_of(text)):
        return "modality"
    if other_part(text):
        return "body_part"
    if is_sideways(text) and not is_frontal(text):
        return "view"
    return "fit" if is_chest(text) or is_frontal(text) else ""


def _plain(cell: str) -> str:
    """Return a cell without points, as in `p.a.`, and accents."""
    return "".join(char for char in decomposed(cell) if char != "." and not unicodedata.combining(char))


def _told(text: str) -> str:
    """Return the role by which a text is unfit, `fit`, `other` if it says nothing, or empty if it is of other things.

    Each of its words must be one for a view, a body part or a kind of image, or say nothing.
    """
    found, part = words_of(text), other_part(text)
    silent = FILLERS | _FILM | {*words_of(part)}
    known = silent | _OTHER_MODALITIES
    if not all(
        word in known or word.isdecimal() or is_chest(word) or other_part(word) or is_known_view(word) for word in found
    ):
        return ""
    return role_in(text) or ("other" if _FILM.isdisjoint(found) else "fit")
