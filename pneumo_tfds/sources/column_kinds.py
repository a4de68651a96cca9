"""What the cells of a column tell, whatever the column is called: split, label, patient, or whether an image is used.

The names of columns are endless; what stands in them is not. Names count only where cells alone tell little, such as 0
and 1, and to pass over ages, sizes and scanners.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pneumo_tfds.decode.header_words import not_human
from pneumo_tfds.sources import numbering, words
from pneumo_tfds.sources.classes import ClassWords, class_told, seems_to_mean
from pneumo_tfds.sources.identifiers import normal_identifier
from pneumo_tfds.sources.image_kinds import MOSTLY, marked_unfit, role_in
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.patient_doubts import MANY_IMAGES, MANY_OF_ONE
from pneumo_tfds.sources.table_columns import usual_names
from pneumo_tfds.sources.words import mark_of, set_of, split_of, words_for, words_of

_SPLIT = re.compile("(folds?|partition|splits?|subset)$")
_FOLD = set_of("crossval crossvalidation cv k xval")
_SHORT_SPLITS, _ORIGINS = set_of("te tr ts va vl"), set_of("private privatetest public publictest")
_BESIDE_SPLITS = words.FILLERS | set_of("cv exp experiment fold in is iter iteration k rep repeat run seed")
_RESULTS = set_of("neg negative pos positive")
"""What tells that a column holds splits: ends of its name, its name beside numbers, all of its cells; and what tells
that a column `test` holds results of one."""

_EXCLUDED = re.compile(
    "(ausge|aus)?schl[ou]ss|ausschlie|discard|drop|esclu|exclu|invalid|reject|remov|unbrauchbar|ungültig|unusab|"
    "verworf|withdr"
)
_USE = re.compile(
    f"{_EXCLUDED.pattern}|approv|art[ei]fa[ck]t|blur|consent|dup|eligib|einwillig|evalua|gradab|ignor|inclu|keep|ok$|"
    "opt(ed)?(in|out)|qc|qualit|readab|skip|usab|use$|used$"
)
"""How words start, in names of columns, for whether an image is to be used; those of the first may be in cells too."""

_MADE = re.compile("synth(etic|etisch)?|s[iy]nt[eé]tic[ao]|gans?|generated|fake|simulated")
_SPECIES = set_of("animal breed especie espèce rasse specie species spezies tierart")
"""Words for pictures that a program made, and names of columns for the species."""

_OPINION = words_for("opinion")
_FLAG = set_of("flag has is label present")
_PAST = set_of("anamnese anamnesis history past previous prior")
"""Words, in names of columns, for a diagnosis, beside that of a class, and for one of another time."""

_HOSPITAL_NUMBER = set_of("hospitalno hospitalnr hospitalnumber")
_PERSON = _HOSPITAL_NUMBER | words_for("person")
_IDENTIFIER = _PERSON | words_for("identifier")
_ORDINARY = words_for("ordinary")
"""Words, in names of columns, for identifiers, and for what people and images have and share."""
_CODE = re.compile(r"[^\W\d_]+([-_ ]?[0-9]+)+|(?=.*[0-9])[0-9a-f-]{8,}")
"""Letters and numbers, such as `p-07`, or a hash."""

FEW_VALUES = 10
"""Most different values of a column that may be a split, or in which a few words may be labels."""

FEW_WORDS = 6
"""Most words of a cell that may be a label; what is denied in a longer text is not understood."""

REPEATED = 0.05
"""Share of the rows that must share their value if that is to tell patients: sizes of files are alike by chance."""


@dataclass(frozen=True)
class Column:
    """A column with its cells in the order of the rows."""

    name: str
    cells: Sequence[str]

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of its name, also joined."""
        return frozenset((*words_of(self.name), "".join(words_of(self.name))))

    @cached_property
    def counts(self) -> Counter[str]:
        """How many rows hold each value; without empty cells."""
        return Counter(cell for cell in self.cells if cell.casefold() not in words.BLANK | {""})

    @cached_property
    def identifiers(self) -> list[str]:
        """Its cells as identifiers are compared; empty where one stands for nobody."""
        normal = {cell: normal_identifier(cell) for cell in set(self.cells)}
        return [normal[cell] for cell in self.cells]

    @property
    def are_marks(self) -> bool:
        """Whether its cells say yes or no, with both among them."""
        return {mark_of(cell) for cell in set(self.cells)} == {0, 1}

    @property
    def is_ordinary(self) -> bool:
        """Whether it is named for what people and images have or share, and not for a number of a hospital's."""
        return bool(self.words & _ORDINARY) and self.words.isdisjoint(_HOSPITAL_NUMBER)

    def __str__(self) -> str:
        shown = [f"{value:.30}" for value in self.counts][:3]
        return f"{self.name} ({', '.join(shown)}{', ...' if len(self.counts) > len(shown) else ''})"


def is_split(column: Column) -> bool:
    """Return whether a column holds splits, or folds or marks of one under a name that says so."""
    counts = column.counts
    if any(map(_SPLIT.search, column.words)):
        return True
    if len(counts) <= FEW_VALUES:
        plain = {cell.casefold() for cell in counts}
        named = {cell for cell in plain if split_of(cell) or words.may_be_split(cell)}
        of_origin = len(plain) > 1 and plain <= _ORIGINS and not column.words & _ORDINARY
        if len(named | plain & _SHORT_SPLITS) > 1 or (named and named == plain != {"valid"}) or of_origin:
            return True
        if len(plain) > 1 and any(map(words.is_named_split, plain)):
            return True
        rest = [word for word in words_of(column.name) if word not in _BESIDE_SPLITS and not word.isdecimal()]
        names_split = bool(rest) and (all(map(split_of, rest)) or words.may_be_split("".join(rest)))  # `run1_test`
        marks = None not in map(mark_of, counts) and plain.isdisjoint(_RESULTS)
        if marks and len(counts) < counts.total() and names_split:
            return True
    if column.words & _FOLD and counted_alike(Counter(filter(None, column.identifiers)), least=3):
        return True
    found = {cell: words.split_words_in(cell) | words.telling_splits_in(cell) for cell in counts}
    rows = sum(count for cell, count in counts.items() if found[cell])
    return len(frozenset().union(*found.values())) > 1 and rows > counts.total() / 2


def split_remedy(column: Column) -> str:
    """Return how a column that may be the split is written so that it is read."""
    if column.are_marks:
        named = split_of(column.name.lower().removeprefix("is_")) or "train, is_val or is_test"
        return f"if it marks the images of one split, rename it to is_{named}"
    numbers = all(map(str.isdecimal, column.counts))
    cells = f"place of its numbers, such as test for {min(column.counts)}" if numbers and column.counts else "its cells"
    return f"write train, val and test in {cells}{'' if column.name == 'split' else ', and name it split'}"


def counted_alike(counts: Counter[str], least: int) -> bool:
    """Return whether values are all numbers from 0 or 1 up to a last one, `least` or more, of about as many rows."""
    numbers = {int(cell) for cell in counts if cell.isdecimal()}
    return (
        len(numbers) == len(counts) >= least
        and min(numbers) in (0, 1)
        and max(numbers) - min(numbers) < len(numbers)
        and max(counts.values()) <= 2 * min(counts.values()) + 1
    )


def may_exclude(column: Column) -> bool:
    """Return whether a column of few values is named for the use of images, or has a word for leaving one out."""
    values = set(column.cells)
    named = len(values) > 1 and any(map(_USE.match, column.words))
    says_so = any(all(map(_EXCLUDED.match, words_of(cell))) for cell in values if words_of(cell))
    return len(values) <= FEW_VALUES and (named or says_so)


def marks_unfit(column: Column) -> int:
    """Return how many rows a column such as `is_lateral` or `frontal` marks as no frontal chest radiographs."""
    if not column.are_marks:
        return 0
    mark = _mark_of_unfit(column)
    return sum(mark is not None and mark_of(cell) == mark for cell in column.cells)


def _mark_of_unfit(column: Column) -> int | None:
    return marked_unfit(" ".join(word for word in words_of(column.name) if word not in _FLAG))


def tells_by_name(column: Column, labels: Sequence[str], classes: ClassWords) -> bool:
    """Return whether a column of two values, not both of them understood, is named like a mark.

    One named for a class tells nothing new where each of its values goes with one class.
    """
    understood = None not in map(mark_of, column.counts) or any(map(role_in, column.counts))
    if len(column.counts) != 2 or understood or any(word.startswith("laterali") for word in column.words):
        return False
    of_kind = _mark_of_unfit(column) is not None and column.words.isdisjoint(_OPINION)  # `dx` is a diagnosis, too
    if of_kind or any(map(_MADE.fullmatch, column.words)):
        return True
    pairs = {(cell, label) for cell, label in zip(column.cells, labels, strict=True) if cell in column.counts}
    subtypes = all(map(words.subtype_of, column.counts))
    return bool(class_of_flag(column, classes)) and len(pairs) > len(column.counts) and not subtypes


def class_of_flag(column: Column, classes: ClassWords) -> str:
    """Return the class that 1 means in a column with such a name, as in `is_normal` and `pneumonia`; else empty."""
    parts = words_of(column.name) if column.name.isascii() else re.findall(r"[^\W_]+", column.name.casefold())
    name = " ".join(word for word in parts if word not in _FLAG)
    told = class_told(name, classes) if len(name.removeprefix("no ").split()) == 1 else ""
    return classes.label_of(column.name) or told


def not_photographed(column: Column) -> Counter[str]:
    """Return the cells of a column of few values that tell masks, animals or pictures that a program made."""
    if len(column.counts) > FEW_VALUES:
        return Counter()
    if column.are_marks:
        made = any(map(_MADE.match, column.words))
        return Counter({cell: n for cell, n in column.counts.items() if made and mark_of(cell) == 1})
    animals = bool(column.words & _SPECIES)

    def is_other(cell: str) -> bool:
        found = words_of(cell)
        rest = [word for word in found if word not in words.FILLERS and not words.is_mask(word)]
        return (animals and not_human(cell)) or (bool(found) and all(map(_MADE.fullmatch, rest)))

    return Counter({cell: n for cell, n in column.counts.items() if is_other(cell) and not words.is_filler(cell)})


def contradicting(column: Column, labels: Sequence[str], classes: ClassWords) -> int:
    """Return how many rows a column gives another class than the label column; 0 if it does not tell classes.

    It does if nearly all cells mean one, if a few different ones name pneumonia (or normal, in a column that is named
    for a diagnosis), or if it is named for the label itself.
    """
    counts, flag = column.counts, class_of_flag(column, classes)
    named = bool(flag or usual_names("label", [column.name]))
    opinion = named or bool(column.words & _OPINION)
    other = LABELS[0] if flag == LABELS[1] else LABELS[1]

    def meaning(cell: str) -> str:
        if flag:
            return {1: flag, 0: other, -1: "", None: ""}[mark_of(cell)]
        if mark_of(cell) is None:
            return class_told(cell, classes) if len(words_of(cell)) <= FEW_WORDS else ""
        return seems_to_mean(cell, classes) if opinion else classes.label_of(cell)

    means = {cell: meaning(cell) for cell in counts}
    mostly = sum(count for cell, count in counts.items() if means[cell]) >= MOSTLY * counts.total()
    words_mean = {label for cell, label in means.items() if label and mark_of(cell) is None}
    worded = LABELS[1] in words_mean or (opinion and bool(words_mean))
    clear = opinion or set(LABELS) <= set(means.values()) if mostly else len(counts) <= FEW_VALUES and worded
    if not named and (not clear or column.words & _PAST):
        return 0
    pairs = Counter(zip(column.cells, labels, strict=True))
    return sum(count for (cell, own), count in pairs.items() if means.get(cell, own) not in ("", own))


def may_be_patient(column: Column) -> bool:
    """Return whether a column is named like an identifier, or holds what some rows share and most do not."""
    if column.is_ordinary:
        return False
    values = set(column.identifiers)
    if numbering.are_dates(values - {""}):
        return False
    if len(values) == len(column.cells):  # a number of its own for each row tells no patient
        return bool(column.words & _PERSON)
    names = all(len(words_of(cell)) <= FEW_WORDS // 2 and not re.search("[0-9]", cell) for cell in values)
    images = statistics.median(column.counts.values()) if column.counts else 0
    named = len(values) > 2 and images <= MANY_IMAGES and bool(column.words & _IDENTIFIER)
    return named or repeats_like_patients(column) or (names and len(values) > 0.3 * len(column.cells))


def repeats_like_patients(column: Column) -> bool:
    """Return whether cells repeat like identifiers of patients: codes of few rows each, or certain numbers.

    Numbers do if the rows of each stand together, if they are long and alike in length, or if they are counted from 0
    or 1 on; other ones may be ages or sizes.
    """
    cells = [*filter(None, column.identifiers)]
    counts = Counter(cells)
    shared = sum(count for count in counts.values() if count > 1)
    if len(counts) < 3 or shared < REPEATED * len(cells):
        return False
    if statistics.median(counts.values()) > MANY_OF_ONE or numbering.are_dates(counts):
        return False
    numbers = sorted(int(cell) for cell in counts if cell.isdecimal())
    if len(numbers) < len(counts):
        codes = [cell for cell in counts if _CODE.fullmatch(cell) and not numbering.is_of_group(cell)]
        return len(codes) >= MOSTLY * len(counts)
    neighbours = sum(one == other for one, other in itertools.pairwise(cells))
    together = numbers[-1] - numbers[0] < 1.5 * len(numbers) and neighbours >= (len(cells) - len(counts)) / 2
    long = len(str(numbers[0])) == len(str(numbers[-1])) > 4
    return together or long or counted_alike(counts, least=FEW_VALUES)


def groups_otherwise(column: Column, patients: Sequence[str]) -> bool:
    """Return whether a column tells patients and joins or divides those that are read.

    An identifier of examinations divides the images of a patient, which does no harm; only one that is named for
    persons is believed to do so.
    """
    if column.is_ordinary:
        return False
    both = [pair for pair in set(zip(column.identifiers, patients, strict=True)) if all(pair)]
    joined = len(both) > len({other for other, _ in both})
    divided = len(both) - len({patient for _, patient in both})
    if column.words & _PERSON:
        return joined or divided > 0
    return joined and divided <= 0.1 * len(both) and repeats_like_patients(column)
