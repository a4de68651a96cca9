"""Understand the columns of a table of images: what each is, and which may tell something and are not read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.csv_text import Row
from pneumo_tfds.sources.identifiers import normal_identifier
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.words import has_split_word, mark_of, may_be_split, set_of, split_of, words_of

ROLES = {
    "path": "path file filename filepath file_path image image_path image_file image_filename image_name img img_path",
    "label": "label labels class target diagnosis category finding findings finding_labels ground_truth",
    "patient": "patient patient_id patient_no patient_number patient_key patient_code subject subject_id person "
    "person_id participant participant_id pid mrn",
    "split": "split set subset partition fold phase data_split",
    "subtype": "subtype",
    "is_train": "is_train in_train is_training",
    "is_val": "is_val in_val is_validation",
    "is_test": "is_test in_test is_testing",
    "view": "view view_position projection",
    "modality": "modality",
    "body_part": "body_part body_part_examined",
}
"""What a column can be, and its usual names; the first is ours. `patientId` and `Patient ID` are `patient_id` too."""

_IDENTIFIER_WORDS = set_of(
    "accession anon anonymised anonymized case code hash id ids key mrn name no nr number patient person pseudonym "
    "record study subject uid uuid"
)
_MEASURES = set_of("age birth date gender height pixels rows columns sex size time weight width year")
SPLIT_FLAGS = {"is_train": "train", "is_val": "val", "is_test": "test"}
"""Columns of 0 and 1 or of false and true, and the split of the rows with 1."""

_SPLIT_COLUMN = re.compile("(folds?|partition|splits?|subset)$")

_SHORT_SPLITS = set_of("te tr ts va vl")
_EXCLUDE = set_of(
    "discard discarded drop dropped exclude excluded exclusion invalid reject rejected remove removed unusable "
    "withdrawn"
)
_QUALITY = set_of("ignore include included inclusion keep ok qc quality skip usable use used")
"""Words, in names of columns, for whether an image is to be used; those of `_EXCLUDE` may be in cells too."""

FEW_VALUES = 10
"""Most different values of a column that may be a split."""


def roles_of(columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns that could play each role; if one has our own name for a role, it alone."""
    found: dict[str, list[str]] = {}
    for role in ROLES:
        matching = usual_names(role, columns)
        own = [column for column in matching if column.lower() == role]
        found[role] = own or matching
    return found


def usual_names(role: str, columns: Sequence[str]) -> list[str]:
    """Return the columns that have a usual name for a role."""
    known = {"".join(words_of(name)) for name in ROLES[role].split()}
    return [column for column in columns if "".join(words_of(column)) in known]


def lists_people(columns: Sequence[str]) -> bool:
    """Return whether a table with these columns tells patients or splits of images, but no labels."""
    roles = roles_of(columns)
    return bool(roles["path"] and not roles["label"] and (roles["patient"] or roles["split"]))


def lists_images(columns: Sequence[str]) -> bool:
    """Return whether a table with these columns lists images with labels."""
    roles = roles_of(columns)
    return bool(roles["path"] and roles["label"])


def choose_columns(columns: Sequence[str], where: str) -> dict[str, str]:
    """Return role to column.

    Raises:
        InputError: a role that is needed has no column, or a role has two.
    """
    roles = roles_of(columns)
    for role in ("path", "label"):
        remedy = f"rename the column that holds the {role}"
        if columns and not columns[-1]:
            remedy = f"if line 1 is a title and no header, remove it; else {remedy}"
        if not roles[role]:
            raise InputError(
                f"{where}: needs a first line with the columns path,label[,patient][,split]; found "
                f"{', '.join(filter(None, columns[:20])) or 'nothing'}; {remedy}"
            )
    for role, found in roles.items():
        if len(found) > 1:
            raise InputError(
                f"{where}: the columns {' and '.join(found)} could both be the {role}; rename one of them to {role}"
            )
    chosen = {role: found[0] for role, found in roles.items() if found}
    return {role: column for role, column in chosen.items() if role not in SPLIT_FLAGS or "split" not in chosen}


def tell_columns(
    columns: Sequence[str], rows: Sequence[tuple[int, Row]], chosen: dict[str, str], notes: SurveyNotes
) -> None:
    """Tell which column is what; ask about columns that may tell patient or split and are not read."""
    unused = [column for column in columns if column and column not in chosen.values()]
    cells = {column: [row[column] for _, row in rows] for column in unused}
    split = [column for column in unused if _may_be_split(column, cells[column])]
    excluding = [column for column in unused if column not in split and _may_exclude(column, cells[column])]
    roles = ", ".join(role if role == column.lower() else f"{column} as {role}" for role, column in chosen.items())
    notes.tell(f"columns read: {roles}; not read: {', '.join(unused) or 'none'}")
    others = [column for column in unused if column not in split]
    telling = [column for column in others if _may_be_patient(column, cells[column])]
    if telling and "patient" not in chosen:
        notes.ask(
            f"no column is named patient, but {', '.join(telling)} may tell who is on an image; rename it to patient "
            "if so; --yes reads none of them",
            about_patients=True,
        )
    if split and not has_split(chosen):
        notes.ask(
            f"no column is named split, but {', '.join(split)} may be one; rename it to split, or, if it holds 1 for "
            "the images of one split, to is_train, is_val or is_test; --yes reads none"
        )
    for column in split if has_split(chosen) else []:
        if differing := sum(_contradicts(column, row, chosen) for _, row in rows):
            named = " and ".join(chosen[role] for role in ("split", *SPLIT_FLAGS) if role in chosen)
            notes.ask(
                f"the column {column} may be a split and contradicts {named} in {differing:,} of "
                f"{counted(len(rows), 'row')}; --yes reads {named}; correct or remove one of them"
            )
    if excluding:
        notes.ask(
            f"{', '.join(excluding)} may say which images are not to be used, and is not read; --yes uses all of them; "
            "else remove the rows and then the column"
        )


def has_split(chosen: Mapping[str, str]) -> bool:
    """Return whether a column tells the split."""
    return not chosen.keys().isdisjoint({"split", *SPLIT_FLAGS})


def _may_be_split(column: str, cells: Sequence[str]) -> bool:
    """Return whether a column is named like a split, is one of few words with splits among them, or mostly of such."""
    if any(_SPLIT_COLUMN.search(word) for word in words_of(column)) or split_of(column.lower().removeprefix("is_")):
        return True
    counts = Counter(filter(None, cells))
    short = len(counts) > 1 and all(value.lower() in _SHORT_SPLITS for value in counts)
    named = may_be_split(column) and len(counts) < counts.total()
    if len(counts) <= FEW_VALUES and (named or short or any(map(split_of, counts))):
        return True
    return (
        sum(count for value, count in counts.items() if may_be_split(value) or has_split_word(value))
        > counts.total() / 2
    )


def _contradicts(column: str, row: Row, chosen: Mapping[str, str]) -> bool:
    """Return whether a column tells another split of a row than the chosen ones; `train` may include validation."""
    marked = (split for role, split in SPLIT_FLAGS.items() if role in chosen and mark_of(row[chosen[role]]) == 1)
    default = "" if chosen.keys() & {"split", "is_train"} else "train"
    own = split_of(row[chosen["split"]]) if "split" in chosen else next(marked, default)
    flag = next((split for role, split in SPLIT_FLAGS.items() if usual_names(role, [column])), "")
    other = flag if flag and mark_of(row[column]) == 1 else split_of(row[column])
    if not own or (other, own) == ("train", "val"):
        return False
    return other not in ("", own) or (flag == own and mark_of(row[column]) == 0)


def _may_exclude(column: str, cells: Sequence[str]) -> bool:
    """Return whether a column of few values is named for the use of images, or has a word for leaving one out."""
    values = set(cells)
    named = not (_EXCLUDE | _QUALITY).isdisjoint(words_of(column)) and len(values) > 1
    says_so = any(_EXCLUDE.issuperset(words_of(cell)) for cell in values if words_of(cell))
    return len(values) <= FEW_VALUES and (named or says_so)


def _may_be_patient(column: str, cells: Sequence[str]) -> bool:
    """Return whether a column is named like an identifier, or holds what some rows share and most do not."""
    words = set(words_of(column))
    if not words.isdisjoint(_MEASURES):
        return False
    different = len(set(map(normal_identifier, cells)))
    if different == len(cells):  # a number of its own for each row tells no patient
        return bool(words & {"patient", "person", "subject"})
    return (not words.isdisjoint(_IDENTIFIER_WORDS) and different > 1) or different > 0.3 * len(cells)
