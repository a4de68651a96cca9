"""The columns of a table of images by their names: what each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.words import words_of

ROLES = {
    "path": "path file filename filepath file_path image image_path image_file image_filename image_name img img_path",
    "label": "label labels class target diagnosis category finding findings finding_labels ground_truth",
    "patient": "patient patient_id patient_no patient_number patient_key patient_code subject subject_id person "
    "person_id participant participant_id pid mrn",
    "split": "split set subset partition fold phase data_split",
    "subtype": "subtype",
    "is_train": "is_train in_train is_training train training",
    "is_val": "is_val in_val is_validation val valid validation",
    "is_test": "is_test in_test is_testing test testing",
    "view": "view view_position projection",
    "modality": "modality",
    "body_part": "body_part body_part_examined",
}
"""What a column can be, and its usual names; the first is ours. `patientId` and `Patient ID` are `patient_id` too."""

SPLIT_FLAGS = {"is_train": "train", "is_val": "val", "is_test": "test"}
"""Columns of 0 and 1 or of false and true, and the split of the rows with 1."""


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


def lists_images(columns: Sequence[str]) -> bool:
    """Return whether a table with these columns lists images with labels."""
    roles = roles_of(columns)
    return bool(roles["path"] and roles["label"])


def tell_columns(columns: Sequence[str], chosen: Mapping[str, str], marks: Sequence[str], notes: SurveyNotes) -> None:
    """Tell which column is what; `marks` are columns that tell the label together."""
    others = [column for column in columns if column and column not in {*chosen.values(), *marks}]
    roles = ", ".join(role if role == column.lower() else f"{column} as {role}" for role, column in chosen.items())
    notes.tell(f"columns read: {roles}; not used for labels, splits or patients: {', '.join(others) or 'none'}")


def class_columns(columns: Sequence[str], classes: ClassWords) -> list[str]:
    """Return the columns named like both classes, such as NORMAL and PNEUMONIA; none if there is a label."""
    named = {} if roles_of(columns)["label"] else {column: classes.label_of(column) for column in columns}
    return [column for column, label in named.items() if label] if set(LABELS) <= set(named.values()) else []
