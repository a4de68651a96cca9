"""Words that people use in names of folders, columns and cells, by kind: most of them are in `words.toml`."""

from __future__ import annotations

import functools
import re
import tomllib
import unicodedata
from collections.abc import Iterable
from importlib.resources import files as resource_files

_KINDS = tomllib.loads(resource_files("pneumo_tfds.sources").joinpath("words.toml").read_text(encoding="utf-8"))


def words_for(kind: str) -> frozenset[str]:
    """Return the words of a kind in `words.toml`."""
    return set_of(_KINDS[kind])


def set_of(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


SPLIT_WORDS = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val",
    "test": "test", "testing": "test", "testset": "test", "trainset": "train", "tst": "test",
}  # fmt: skip
"""Words for a split, in names of folders and in tables, and the split that they mean."""

_MAYBE_SPLITS = words_for("maybe_splits")
_COMPOUNDS = re.compile(
    "(train|dev|val|test){2,}|(training|lern|test|prüf|validierung)s?(bilder|daten|gruppe|kohorte|kollektiv|menge|satz|"
    "set|stichprobe|teil|ung)[a-zä]*"
)
"""Words made of two, one of them for a split: `trainval`, and German ones such as `Lernstichprobe`."""
_OTHER_USES = set_of("eval evaluation external hold internal valid validate")
"""Words that may mean a split and as often something else, such as the jugular vein or a cell that was checked."""

_PAIRS = (
    ("0", "1"), ("false", "true"), ("f", "t"), ("no", "yes"), ("n", "y"), ("nein", "ja"), ("non", "oui"), ("no", "si"),
    ("no", "sí"), ("no", "sì"), ("não", "sim"), ("n", "j"), ("nee", "ja"), ("nej", "ja"), ("nie", "tak"), ("нет", "да"),
    ("hayır", "evet"), ("hayir", "evet"), ("否", "是"), ("falsch", "wahr"), ("faux", "vrai"), ("falso", "vero"),
    ("falso", "verdadero"), ("falso", "verdadeiro"), ("onwaar", "waar"), ("ложь", "истина"), ("absent", "present"),
    ("neg", "pos"), ("negative", "positive"),
)  # fmt: skip
"""What a cell holds where something is not so, and where it is, in lower case; `1.0` is written as `1` before."""
YES = {yes for _, yes in _PAIRS} | {"x", "+"}
NO = {no for no, _ in _PAIRS} | {""}
"""Either of these, with what stands in no pair."""

BLANK = set_of("#n/a na n/a nan none null -")
"""What programs write into a cell without a value."""

UNKNOWN = set_of("? ?? missing unbekannt unknown")
"""What people write into a cell whose value they do not know."""

FILLERS = words_for("fillers")

_MASKS = words_for("masks")

PERSON = (
    "patient|pat|paciente|paziente|pacient|pts?|pid|mrn|person|participant|proband|volunteer|subject|subj|sub|child|kid"
)
"""Expression for words behind which stands the number of a patient."""
PATIENT_NUMBER = re.compile(rf"(?<![^\W\d_])(?:p|{PERSON}|pa(?=[0-9]{{5}}))[-_ (]*[0-9]+\)?", re.IGNORECASE)
"""A number that a word says to be a patient's; `PA000001` is the folder of one on disks that hospitals hand out."""

_SUBTYPES = {
    "bacteria": "bacteria", "bacterial": "bacteria", "bacterium": "bacteria",
    "virus": "virus", "viral": "virus",
}  # fmt: skip

UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")


_COPY = re.compile(r"(\.rf\.[0-9a-zA-Z]+|[ _-]*\([0-9]+\)|[ _-]+(copy|copia|copie|kopie)( ?[0-9]+)?)$", re.IGNORECASE)
"""What programs add to the name of a copy: Roboflow's hash, ` (1)`, ` - Copy`."""

SIZE = re.compile(r"[ _-]*(?<![0-9])[0-9]{2,5} ?(x ?[0-9]{2,5}(px)?|px)(?![0-9a-z])", re.IGNORECASE)
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
    plain = plain_cell(cell)
    if plain == "-1":
        return -1
    return 1 if plain in YES else 0 if plain in NO or plain in BLANK else None


def are_of_one_pair(cells: Iterable[str]) -> bool:
    """Return whether cells are 0 and 1, no and yes or another such pair, and no two are of different pairs.

    One of a pair alone counts too, unless it is a letter: a column of nothing but `T` may be of anything.
    """
    found = {*map(plain_cell, cells)}
    return any(found == {*pair} or (found < {*pair} and found.isdisjoint("fjnty")) for pair in _PAIRS)


def opposite_of(cell: str) -> str:
    """Return what a cell such as `yes` would hold if it were not so; empty if it is in no pair."""
    return next((no for no, yes in _PAIRS if yes == plain_cell(cell)), "")


def is_mark_or_number(cell: str) -> bool:
    """Return whether a cell is of a pair such as no and yes, or a whole number from 0 on."""
    plain = plain_cell(cell)
    return plain.isdecimal() or any(plain in pair for pair in _PAIRS)


def plain_cell(cell: str) -> str:
    """Return a cell for comparison: `+1`, `1.0` and `1,0` are 1, and `F` is f."""
    return re.sub(r"^[+]?(-?[0-9]+)([.,]0*)?$", r"\1", composed(cell).strip().casefold())


@functools.lru_cache(maxsize=1 << 16)
def words_of(name: str) -> tuple[str, ...]:
    """Return the words and numbers of a name in lower case: `ChestXRay_Test-2` gives chest, x, ray, test and 2."""
    return tuple(word.lower() for word in _WORD.findall(composed(name)))


@functools.lru_cache(maxsize=1 << 17)
def whole_words(name: str) -> tuple[str, ...]:
    """Return the words of a name without those inside a longer code, such as `a9lat7b`, where letters are chance.

    So they are in a UUID, as RSNA names its files: `1abd-14fd` is no abdomen.
    """
    parts = (part for part in re.split(r"[\W_]+", UUID.sub("", name)) if len(re.findall("[0-9]+|[^0-9]+", part)) <= 3)
    return tuple(word for part in parts for word in words_of(part) if not word.isdecimal())


@functools.lru_cache(maxsize=1 << 16)
def plain_name(name: str) -> str:
    """Return a name for comparison: `Viral_Pneumonia`, `viral-pneumonia` and `VIRAL PNEUMONIA` are alike.

    So are `sağlıklı` and `SAĞLIKLI`, as Turkish writes `I` for a large `ı` and `i` for a small `İ`. A sign at the
    beginning or the end counts: `-1` is not 1, and `Pneumonia-` not `Pneumonia`.
    """
    plain = composed(name).strip().casefold().replace("i\u0307", "i").replace("ı", "i")
    return re.sub(r"(?<=.)[\s_.\-]+(?=.)", " ", re.sub(r"^[\s_.]+|[\s_.]+$", "", plain))


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
    joined = "".join(words)
    return not _MAYBE_SPLITS.isdisjoint((*words, joined)) or any(map(_COMPOUNDS.fullmatch, (*words, joined)))


@functools.lru_cache(maxsize=1 << 16)
def telling_splits_in(name: str) -> frozenset[str]:
    """Return the words that a cell holds and that hardly mean anything but a split."""
    return frozenset(
        word for word in words_of(name) if (word in SPLIT_WORDS or may_be_split(word)) and word not in _OTHER_USES
    )


@functools.lru_cache(maxsize=1 << 16)
def is_named_split(name: str) -> bool:
    """Return whether a cell is a word of `telling_splits_in` alone, perhaps in several parts, such as `lock-box`."""
    words = [word for word in words_of(name) if word not in FILLERS and not word.isdecimal()]
    return bool(words) and (set(words) <= telling_splits_in(name) or bool(telling_splits_in("".join(words))))


@functools.lru_cache(maxsize=1 << 16)
def is_mask(name: str) -> bool:
    """Return whether a folder or file is named like masks, boxes or heat maps, which are no X-rays."""
    return any(word in _MASKS or word.endswith("mask") or word.startswith("segment") for word in words_of(name))


@functools.lru_cache(maxsize=1 << 16)
def is_filler(name: str) -> bool:
    """Return whether a folder's name says nothing about its images, such as `X-rays` or `images_001`."""
    words = [word for word in words_of(name) if not word.isdecimal()]
    return bool(words) and FILLERS.issuperset(words) and not PATIENT_NUMBER.fullmatch(name)


def without_copy(name: str) -> str:
    """Return a name without what programs add to that of a copy, such as ` (1)`."""
    return _COPY.sub("", name)


@functools.lru_cache(maxsize=1 << 16)
def subtype_of(name: str) -> str:
    """Return `bacteria` or `virus` if a folder's name says so; else empty."""
    found = {_SUBTYPES[word] for word in words_of(name) if word in _SUBTYPES}
    return found.pop() if len(found) == 1 else ""
