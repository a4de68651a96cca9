"""Judge the columns of a table that are not read by their cells: whether they tell split, fitness, label or patient.

The names of columns are endless; what stands in them is not. A column whose cells are clearly of one kind is asked
about. Names count only where cells alone tell little, such as 0 and 1, and to pass over ages, sizes and scanners.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import words
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.csv_text import Row
from pneumo_tfds.sources.identifiers import normal_identifier
from pneumo_tfds.sources.image_kinds import MOSTLY, kinds_of_image
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import Labelled
from pneumo_tfds.sources.patient_doubts import MANY_IMAGES, MANY_OF_ONE
from pneumo_tfds.sources.survey import SurveyNotes, listed
from pneumo_tfds.sources.table_columns import SPLIT_FLAGS, usual_names
from pneumo_tfds.sources.table_labels import class_told, meaning_of
from pneumo_tfds.sources.words import mark_of, set_of, split_of, words_of

_SPLIT = re.compile("(folds?|partition|splits?|subset)$")
_FOLD = set_of("crossval crossvalidation cv k xval")
_SHORT_SPLITS, _ORIGINS = set_of("te tr ts va vl"), set_of("private privatetest public publictest")
_BESIDE_SPLITS = words.FILLERS | set_of("cv exp experiment fold in is iter iteration k rep repeat run seed")
"""What tells that a column holds splits: ends of its name, its name beside numbers, all of its cells."""

_EXCLUDE = set_of(
    "ausgeschlossen ausschluss ausschliessen discard discarded drop dropped esclusa escluso esclusione exclu exclude "
    "excluded exclue excluida excluido exclusion exclusão invalid reject rejected remove removed unbrauchbar ungültig "
    "unusable verworfen withdrawn"
)
_QUALITY = set_of("ignore include included inclusion keep ok qc quality skip usable use used")
"""Words, in names of columns, for whether an image is to be used; those of `_EXCLUDE` may be in cells too."""

_OPINION = set_of(
    "annotation annotator consensus diagnosis dx expert finding findings gt label labels observer opinion pathology "
    "radiologist rater reader target truth y"
)
_FLAG = set_of("flag has is label present")
_PAST = set_of("anamnese anamnesis history past previous prior")
"""Words, in names of columns, for a diagnosis, beside that of a class, and for one of another time."""

_HOSPITAL_NUMBER = set_of("hospitalno hospitalnr hospitalnumber")
_PERSON = _HOSPITAL_NUMBER | set_of("mrn pat patient paciente paziente person pid proband sujet subject")
_IDENTIFIER = _PERSON | set_of(
    "accession akte anon anonymised anonymized case code fall hash id ids key kode name no nr number pseudonym record "
    "study uid uuid"
)
_ORDINARY = set_of(
    "age alter batch birth center centre city clinic columns country date datum department device edad eta gender "
    "geschlecht height hospital idade institution insurance manufacturer model payer pixels plz postal postcode rad "
    "radiologist reader room rows scanner sector sex sexe sexo sesso site size spacing station time vendor ward weight "
    "width window year zip"
)
"""Words, in names of columns, for identifiers, and for what people and images have and share."""
_CODE = re.compile(r"[^\W\d_]+([-_ ]?[0-9]+)+|(?=.*[0-9])[0-9a-f-]{8,}")
"""Letters and numbers, such as `p-07`, or a hash."""

SHOWN = 3
"""Values that a message lists."""

VARIED = 1000
"""Different values above which a column is of numbers, names or free text, and tells at most split or patient."""

FEW_VALUES = 10
"""Most different values of a column that may be a split, or in which a few words may be labels."""

FEW_WORDS = 6
"""Most words of a cell that may be a label; what is denied in a longer text is not understood."""

REPEATED = 0.05
"""Share of the rows that must share their value if that is to tell patients: sizes of files are alike by chance."""


@dataclass(frozen=True)
class Column:
    """A column that is not read, with its cells in the order of the rows."""

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
    def is_ordinary(self) -> bool:
        """Whether it is named for what people and images have or share, and not for a number of a hospital's."""
        return bool(self.words & _ORDINARY) and self.words.isdisjoint(_HOSPITAL_NUMBER)

    def __str__(self) -> str:
        shown = [f"{value:.30}" for value in self.counts][:SHOWN]
        return f"{self.name} ({', '.join(shown)}{', ...' if len(self.counts) > len(shown) else ''})"


def ask_about_unread(
    used: Sequence[tuple[Row, Labelled]], chosen: Mapping[str, str], classes: ClassWords, notes: SurveyNotes
) -> None:
    """Ask about every column that is not read and tells something, once for each, by the first kind that it is of.

    Args:
        used: the rows whose images are used, and what was read from each.
        chosen: role to the column that is read for it.
        classes: the words for the classes.
        notes: the questions are added here.
    """
    classes = replace(classes, met=set())  # what is not read does not show that a flag was spelled well
    label, patient = chosen["label"], chosen.get("patient", "")
    split = " and ".join(chosen[role] for role in ("split", *SPLIT_FLAGS) if role in chosen)
    for name in [name for name in used[0][0] if name not in chosen.values()] if used else []:
        column = Column(name, [row[name] for row, _ in used])
        varied = len(column.counts) > VARIED
        if is_split(column):
            differing = sum(_is_other_split(name, row[name], one.split) for row, one in used)
            if not split:
                notes.ask(
                    f"no column is named split, but {column} may be one; rename it to split, with train, val or test "
                    "in its cells, or, if it holds 1 for the images of one split, to is_train, is_val or is_test, else "
                    "remove it; --yes does not read it"
                )
            elif differing:
                notes.ask(
                    f"the column {column} may be a split and contradicts {split} in {differing:,} of "
                    f"{counted(len(used), 'row')}; --yes reads {split}; correct or remove one of them"
                )
        elif not varied and may_exclude(column):
            notes.ask(
                f"the column {column} may say which images are not to be used, and is not read; --yes uses all; else "
                "remove the rows and then the column"
            )
        elif not varied and (kinds := kinds_of_image(column.cells)):
            shown = listed(sum(kinds.values(), Counter()), SHOWN, "row")
            rename = len(kinds) == 1 and not kinds.keys() & chosen.keys()
            notes.ask(
                f"the column {name} is not read and names images that are no frontal chest X-rays: {shown}; --yes uses "
                f"them; else {f'rename it to {min(kinds)}, which leaves them out' if rename else 'remove these rows'}"
            )
        elif not varied and (differing := contradicting(column, [one.label for _, one in used], classes)):
            notes.ask(
                f"the columns {column} and {label} could both be the label and contradict each other in {differing:,} "
                f"of {counted(len(used), 'row')}; --yes reads {label}; correct one of them, or remove {name}"
            )
        elif not patient and may_be_patient(column):
            notes.ask(
                f"no column is named patient, but {column} may tell who is on an image; rename it to patient if so, "
                "else remove it; --yes does not read it",
                about_patients=True,
            )
        elif patient and groups_otherwise(column, [one.patient for _, one in used]):
            notes.ask(
                f"the column {column} may tell who is on an image too, and groups the rows otherwise than {patient}; "
                f"--yes reads {patient}; if {name} is right, remove {patient} and rename it to patient; else remove it",
                about_patients=True,
            )


def is_split(column: Column) -> bool:
    """Return whether a column holds splits, or folds or marks of one under a name that says so."""
    counts = column.counts
    if any(map(_SPLIT.search, column.words)) or split_of(column.name.lower().removeprefix("is_")):
        return True
    if len(counts) <= FEW_VALUES:
        plain = {cell.casefold() for cell in counts}
        named = {cell for cell in plain if split_of(cell) or words.may_be_split(cell)}
        of_origin = len(plain) > 1 and plain <= _ORIGINS and not column.words & _ORDINARY
        if len(named | plain & _SHORT_SPLITS) > 1 or (named and named == plain != {"valid"}) or of_origin:
            return True
        if None not in map(mark_of, counts) and len(counts) < counts.total() and _names_split(column.name):
            return True
    if column.words & _FOLD and _counted_alike(Counter(filter(None, column.identifiers)), least=3):
        return True
    found = {cell: words.split_words_in(cell) for cell in counts}
    rows = sum(count for cell, count in counts.items() if found[cell])
    return len(frozenset().union(*found.values())) > 1 and rows > counts.total() / 2


def _names_split(name: str) -> bool:
    """Return whether a name is a word for a split, perhaps beside those for runs and folds, such as `run1_test`."""
    rest = [word for word in words_of(name) if word not in _BESIDE_SPLITS and not word.isdecimal()]
    return bool(rest) and (all(map(split_of, rest)) or words.may_be_split("".join(rest)))


def _counted_alike(counts: Counter[str], least: int) -> bool:
    """Return whether values are all numbers from 0 or 1 up to a last one, `least` or more, of about as many rows."""
    numbers = {int(cell) for cell in counts if cell.isdecimal()}
    return (
        len(numbers) == len(counts) >= least
        and min(numbers) in (0, 1)
        and max(numbers) - min(numbers) < len(numbers)
        and max(counts.values()) <= 2 * min(counts.values()) + 1
    )


def _is_other_split(column: str, cell: str, own: str) -> bool:
    """Return whether a cell tells another split of a row than the one that is read; `train` may include validation."""
    flag = next((split for role, split in SPLIT_FLAGS.items() if usual_names(role, [column])), "")
    other = flag if flag and mark_of(cell) == 1 else split_of(cell)
    if not own or (other, own) == ("train", "val"):
        return False
    return other not in ("", own) or (flag == own and mark_of(cell) == 0)


def may_exclude(column: Column) -> bool:
    """Return whether a column of few values is named for the use of images, or has a word for leaving one out."""
    values = set(column.cells)
    named = not (_EXCLUDE | _QUALITY).isdisjoint(column.words) and len(values) > 1
    says_so = any(_EXCLUDE.issuperset(words_of(cell)) for cell in values if words_of(cell))
    return len(values) <= FEW_VALUES and (named or says_so)


def contradicting(column: Column, labels: Sequence[str], classes: ClassWords) -> int:
    """Return how many rows a column gives another class than the label column; 0 if it does not tell classes.

    It does if nearly all cells mean one, if a few different ones name pneumonia, or if it is named so.
    """
    parts = words_of(column.name) if column.name.isascii() else re.findall(r"[^\W_]+", column.name.casefold())
    counts, name = column.counts, " ".join(word for word in parts if word not in _FLAG)
    flag = classes.label_of(column.name) or (
        class_told(name, classes) if len(name.removeprefix("no ").split()) == 1 else ""
    )
    named = bool(flag or usual_names("label", [column.name]))
    opinion = named or bool(column.words & _OPINION)

    def meaning(cell: str) -> str:
        if flag:
            mark = mark_of(cell)
            return flag if mark == 1 else LABELS[0] if (flag, mark) == (LABELS[1], 0) else ""
        if mark_of(cell) is None:
            return class_told(cell, classes) if len(words_of(cell)) <= FEW_WORDS else ""
        return meaning_of(cell, classes) if opinion else classes.label_of(cell)

    means = {cell: meaning(cell) for cell in counts}
    mostly = sum(count for cell, count in counts.items() if means[cell]) >= MOSTLY * counts.total()
    worded = LABELS[1] in {label for cell, label in means.items() if mark_of(cell) is None}
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
    if words.are_dates(values - {""}):
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
    if statistics.median(counts.values()) > MANY_OF_ONE or words.are_dates(counts):
        return False
    numbers = sorted(int(cell) for cell in counts if cell.isdecimal())
    if len(numbers) < len(counts):
        codes = [cell for cell in counts if _CODE.fullmatch(cell) and not words.is_of_group(cell)]
        return len(codes) >= MOSTLY * len(counts)
    neighbours = sum(one == other for one, other in itertools.pairwise(cells))
    together = numbers[-1] - numbers[0] < 1.5 * len(numbers) and neighbours >= (len(cells) - len(counts)) / 2
    long = len(str(numbers[0])) == len(str(numbers[-1])) > 4
    return together or long or _counted_alike(counts, least=FEW_VALUES)


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
