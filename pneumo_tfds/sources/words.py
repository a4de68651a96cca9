"""Words that people use for splits, masks and the like in the names of folders, columns and cells."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Collection


def set_of(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


SPLIT_WORDS = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val",
    "test": "test", "testing": "test", "testset": "test", "trainset": "train", "tst": "test",
}  # fmt: skip
"""Words for a split, in names of folders and in tables, and the split that they mean."""

_MAYBE_SPLITS = set_of(
    "addestramento apprentissage derivation development discovery entrainement entraînement entrenamiento eval "
    "evaluation external heldout hold holdout internal learn learning lernen prova prueba prüfen prüfung testdaten "
    "teste trainingsdaten treinamento treino validação validacion validación validazione validierung"
)
"""Words that may mean a split, beside those that do."""

YES = set_of("1 true t yes y ja oui si sí sim x") | {"+"}
NO = set_of("0 false f no n nein non não") | {""}
"""What a cell holds where something is so, and where it is not, in lower case; `1.0` is written as `1` before."""

BLANK = set_of("na n/a nan none null -")
"""What programs write into a cell without a value."""

FILLERS = set_of(
    "ap chest cxr cxrs data dataset dicom dicoms dcm file files folder frontal image images img imgs jpeg jpegs jpg "
    "lung lungs org original pa part photo photos picture pictures png pngs radiograph radiographs raw ray rays scan "
    "rx scans set sets split splits subset thorax torax view x xr xray xrays radiografia radiografias radiografía "
    "radiografías radiographie radiographies röntgen"
)
"""Words that say nothing about an image. A folder named with nothing else holds images and means no more."""

_MASKS = set_of(
    "annotation annotations bbox bboxes contour contours gradcam heatmap heatmaps mask masks masked overlay overlays "
    "saliency seg segs"
)

_VIEWS = set_of("ap frontal pa")

_GROUPS = set_of(
    "acc accession accessions aug augmented batch bed bett cama center centre chunk class clinic cohort cv day "
    "department device dia dir dose download exp export fold folds giorno grade group hospital institution jour kw "
    "letto level lit machine mes mese mois monat month months order orders part partition phase report reports request "
    "resized room rotated round scanner semaine semana set settimana severity shift site source stage subset split tag "
    "train training test testing transfer unit upload v val valid validation version ward week weeks woche year zimmer"
)
"""Words whose numbers count something other than patients."""

_SITES = set_of("center centre clinic clinica clinique hospital hopital institution klinik klinikum krankenhaus site")
"""Words for a place whose patients have numbers of their own."""

_VISITS = set_of(
    "esame estudio estudios etude exam examen examenes examination examinations exams exm followup serie series "
    "session studies study studio untersuchung view visit étude"
)
EXAMINATION = (
    r"(?:(?:acq|after|baseline|before|control|copia|copie|copy|erect|exam|frontal|follow[- ]?up|image|img|kopie|"
    r"lateral|post|scan|series|ses|sess|session|study|supine|view|vis|visit)[-_ ]?[0-9]{0,3}|"
    r"(?:ap|bl|cr|ct|dr|dx|fu|fup|lat|ll|mr|pa|pre|rl|rx|t|tp|v|xr)[-_ ]?[0-9]{0,2})"
)
"""Expression for what stands beside a patient's identifier, or in their folder, for one of several examinations;
three digits behind `t` or the like, as in `T001`, count people."""

_YEAR, _MONTH, _DAY = "(19|20)[0-9]{2}", "(0[1-9]|1[0-2])", "(0[1-9]|[12][0-9]|3[01])"
DAY = _YEAR + _MONTH + _DAY
"""Expression for a day written with digits alone."""
_NAME_OF_MONTH = "(jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]{0,6}"
_TIME = "([-_ .t]*([01][0-9]|2[0-3])[-_:.h ]?[0-5][0-9]([-_:.m ]?[0-5][0-9])?s?)?"
_BY_PARTS = (
    f"{_YEAR}[-_. ](0?[1-9]|1[0-2])[-_. ](0?[1-9]|[12][0-9]|3[01])",
    f"(0?[1-9]|[12][0-9]|3[01])[-_. ](0?[1-9]|[12][0-9]|3[01])[-_. ]{_YEAR}",  # of Europe and America
    f"(0?[1-9]|[12][0-9]|3[01])[-_. ]?{_NAME_OF_MONTH}[-_. ]?{_YEAR}",
    f"{_YEAR}[-_. ]?{_NAME_OF_MONTH}([-_. ]?{_DAY})?",
    f"{_YEAR}[-_. ]?(cw|kw|q|w)[-_. ]?[0-9]{{1,2}}",  # weeks and quarters
)
WHOLE_DAY = f"({DAY}|{'|'.join(_BY_PARTS)}){_TIME}"
"""Expression for a day in any usual spelling, in lower case, perhaps with a time."""
_DATE = re.compile(f"{_YEAR}([-_. ]?{_MONTH}([-_. ]?{_DAY})?)?|{WHOLE_DAY}", re.IGNORECASE)
_SHORT_DATE = re.compile(
    f"({_DAY}[-_. ]?{_MONTH}|{_MONTH}[-_. ]?{_DAY})[-_. ]?(19|20)?[0-9]{{2}}|[0-9]{{2}}[-_. ]?{_MONTH}[-_. ]?{_DAY}|"
    f"{DAY}[-_. ]+[0-9]{{1,6}}"
)
"""A date as one person's number may look too; only a whole level of them is taken for dates."""

DIGITAL = "1990"
"""Year before which hardly any X-ray was a file."""

BIRTH_NUMBER = f"((19|20)?[0-9]{{2}}{_MONTH}{_DAY}|{_DAY}{_MONTH}[0-9]{{2}})[-+]?(?!00)[0-9]{{3}}[0-9a-z]"
"""Expression for the numbers of people in Sweden and its neighbours, a day of birth and four signs: `19500312-1234`."""

PERSON = (
    "patient|pat|paciente|paziente|pacient|pts?|pid|mrn|person|participant|proband|volunteer|subject|subj|sub|child|kid"
)
"""Expression for words behind which stands the number of a patient."""
PATIENT_NUMBER = re.compile(rf"(?<![^\W\d_])(?:p|{PERSON}|pa(?=[0-9]{{5}}))[-_ (]*[0-9]+\)?", re.IGNORECASE)
"""A number that a word says to be a patient's; `PA000001` is the folder of one on disks that hospitals hand out."""

_SEX_AND_AGE = re.compile("[FM][-_ ]?[0-9]{1,2}Y?", re.IGNORECASE)

_SUBTYPES = {
    "bacteria": "bacteria", "bacterial": "bacteria", "bacterium": "bacteria",
    "virus": "virus", "viral": "virus",
}  # fmt: skip

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")


_COPY = re.compile(r"(\.rf\.[0-9a-zA-Z]+|[ _-]*\([0-9]+\)|[ _-]+(copy|copia|copie|kopie)( ?[0-9]+)?)$", re.IGNORECASE)
"""What programs add to the name of a copy: Roboflow's hash, ` (1)`, ` - Copy`."""

_SIZE = re.compile(r"[ _-]*(?<![0-9])[0-9]{2,5} ?(x ?[0-9]{2,5}(px)?|px)(?![0-9a-z])", re.IGNORECASE)
"""A size in pixels, such as `224x224` or `512px`."""


def composed(text: str) -> str:
    """Return a text in which `ü` is one character (NFC). macOS writes names of files with two (NFD)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def decomposed(text: str) -> str:
    """Return a text in which `ü` is two characters (NFD)."""
    return unicodedata.normalize("NFD", text)


@functools.lru_cache(maxsize=1 << 10)
def mark_of(cell: str) -> int | None:
    """Return 1 if a cell says that something is so, 0 if not or if it is empty, -1 if uncertain (-1); else None."""
    plain = re.sub(r"^[+]?(-?[0-9]+)([.,]0*)?$", r"\1", cell.strip().casefold())
    if plain == "-1":
        return -1
    return 1 if plain in YES else 0 if plain in NO or plain in BLANK else None


@functools.lru_cache(maxsize=1 << 16)
def words_of(name: str) -> tuple[str, ...]:
    """Return the words and numbers of a name in lower case: `ChestXRay_Test-2` gives chest, x, ray, test and 2."""
    return tuple(word.lower() for word in _WORD.findall(composed(name)))


def whole_words(name: str) -> list[str]:
    """Return the words of a name without those inside a longer code, such as `a9lat7b`, where letters are chance."""
    parts = (part for part in re.split(r"[\W_]+", name) if len(re.findall("[0-9]+|[^0-9]+", part)) <= 3)
    return [word for part in parts for word in words_of(part) if not word.isdecimal()]


@functools.lru_cache(maxsize=1 << 16)
def plain_name(name: str) -> str:
    """Return a name for comparison: `Viral_Pneumonia`, `viral-pneumonia` and `VIRAL PNEUMONIA` are alike.

    So are `sağlıklı` and `SAĞLIKLI`, as Turkish writes `I` for a large `ı` and `i` for a small `İ`.
    """
    plain = composed(name).strip().casefold().replace("i\u0307", "i").replace("ı", "i")
    return " ".join(re.split(r"[\s_.\-]+", plain)).strip()


@functools.lru_cache(maxsize=1 << 16)
def split_of(name: str) -> str:
    """Return `train`, `val` or `test` if a name means that split and nothing else, such as `Test Set`; else empty."""
    words = [word for word in words_of(name) if word not in FILLERS and not word.isdecimal()]
    splits = {SPLIT_WORDS.get(word, "") for word in words}
    return splits.pop() if len(splits) == 1 else ""


@functools.lru_cache(maxsize=1 << 16)
def split_words_in(name: str) -> frozenset[str]:
    """Return the words for splits that a name holds."""
    return frozenset(word for word in words_of(name) if word in SPLIT_WORDS)


@functools.lru_cache(maxsize=1 << 16)
def may_be_split(name: str) -> bool:
    """Return whether a name holds a word that may mean a split, such as `holdout` or `held_out`."""
    words = words_of(name)
    return not _MAYBE_SPLITS.isdisjoint((*words, "".join(words)))


@functools.lru_cache(maxsize=1 << 16)
def is_mask(name: str) -> bool:
    """Return whether a folder or file is named like masks, boxes or heat maps, which are no X-rays."""
    return any(word in _MASKS or word.endswith("mask") or word.startswith("segment") for word in words_of(name))


@functools.lru_cache(maxsize=1 << 16)
def is_filler(name: str) -> bool:
    """Return whether a folder's name says nothing about its images, such as `X-rays` or `images_001`."""
    words = [word for word in words_of(name) if not word.isdecimal()]
    return bool(words) and FILLERS.issuperset(words) and not PATIENT_NUMBER.fullmatch(name)


@functools.lru_cache(maxsize=1 << 16)
def is_version(name: str) -> bool:
    """Return whether a folder's name can be that of one version of images, such as `images_224`, `raw` or `png`.

    Views are none, as an image of each view may have one name, and nor are parts such as `images_001`.
    """
    return is_filler(name) and not any(word in _VIEWS or word.startswith("0") for word in words_of(name))


def without_copy(name: str) -> str:
    """Return a name without what programs add to that of a copy, such as ` (1)`."""
    return _COPY.sub("", name)


def is_numbered(name: str) -> bool:
    """Return whether a name ends with a number in brackets, as a copy's does, and that of one of many renamed files."""
    return bool(re.search(r"\([0-9]+\)$", name))


def without_size(name: str) -> str:
    """Return a folder's name without a size in pixels."""
    return _SIZE.sub("", name)


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


@functools.lru_cache(maxsize=1 << 16)
def subtype_of(name: str) -> str:
    """Return `bacteria` or `virus` if a folder's name says so; else empty."""
    found = {_SUBTYPES[word] for word in words_of(name) if word in _SUBTYPES}
    return found.pop() if len(found) == 1 else ""


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


BY_CHANCE = 0.1
"""Share of names with a word for a group that may be chance: the digits of a hash can be `bed`."""

MANY_NAMES = 12
"""So many different folders on one level are patients even where their names have no digits."""
