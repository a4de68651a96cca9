"""Take the splits of a source as they are, unless a patient is on two sides of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.description import OWN_DESCRIPTION, Description
from pneumo_tfds.sources.identifiers import HEADER_PATIENT, STUDY, TEST_PATIENT, is_unknown
from pneumo_tfds.sources.inventory import Image, Validation
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.sources.survey import SurveyNotes

FEW = 0.05
"""Share of the test patients that may have images outside it by chance, where the test set is said to be of others."""

PUBLISHED_VALIDATION, SUBSTANTIAL = 16, 0.02
"""Images of the published archive's validation folder, which is divided anew, and the share of all images up to which
that is done with larger ones."""


def settle(
    images: Sequence[Image],
    from_table: bool,
    description: Description,
    options: SourceOptions,
    notes: SurveyNotes,
) -> tuple[list[Image], Validation]:
    """Return the images, and whether their splits are final.

    Where patients of the test split are other people whose numbers begin again, their patients get `TEST_PATIENT`.

    Args:
        images: with patients and splits, as they were found.
        from_table: the splits are those of a table, which is obeyed or refused.
        description: what is known of the data set.
        options: what the user says.
        notes: questions are added here.

    Raises:
        InputError: a table gives images of one patient to two splits.
    """
    images = list(images)
    without = [image.name for image in images if not image.official_split]
    if len(without) not in (0, len(images)):
        notes.ask_about_patients(
            f"{counted(len(without), 'image')} of {len(images):,}, the first {without[0]}, are in no split, though "
            "others are in train, val or test; --yes takes them for training; else give them one, by a folder, a "
            "column or a list"
        )
    tested = [image for image in images if image.official_split == "test"]
    rest = [image for image in images if image.official_split != "test"]
    if both := _shared(tested, rest):
        if from_table:
            raise _two_sides(both, "test")
        if description.test_patients == "apart" and not _was_divided_anew(tested, rest):
            images = _apart(images)
        else:
            notes.ask_about_patients(
                f"{counted(len(both), 'patient')} of the test split, {_such_as(both, tested, rest)}, have images "
                "outside it: the same patient ID, study or the like stands on both sides; if it is one person, this "
                "leaks; --yes divides all images anew by patient, a test split too; else move all images of a patient "
                "to one side, or, if the numbers of the test split are other people's, say "
                f'test_patients = "apart" in a description ({OWN_DESCRIPTION})'
            )
            if options.yes:
                return [replace(image, official_split="") for image in images], "redrawn"
    elif description.test_patients == "apart":
        images = _apart(images)
    validating = [image for image in images if image.official_split == "val"]
    few = len(validating) <= max(PUBLISHED_VALIDATION, SUBSTANTIAL * len(images))
    if (description.validation == "redrawn" and few) or not any(image.official_split for image in images):
        return images, "redrawn"
    training = [image for image in images if image.official_split in ("train", "")]
    if both := _shared(validating, training):
        if from_table:
            raise _two_sides(both, "val")
        if description.validation == "redrawn":
            return images, "redrawn"
        drawn = "train and validation anew by patient" if tested else "all images anew by patient, a test split too"
        notes.ask_about_patients(
            f"{counted(len(both), 'patient')} of the validation split, {_such_as(both, validating, training)}, have "
            f"images in train too; --yes divides {drawn}; else move all images of a patient to one side"
        )
        return images, "redrawn"
    return [replace(image, official_split=image.official_split or "train") for image in images], "given"


def _such_as(both: set[str], some: Iterable[Image], others: Iterable[Image]) -> str:
    """Return an example of patients; by two images where only a hash of the identifier is known."""
    patient = min(both)
    if not patient.startswith((HEADER_PATIENT, STUDY)):
        return f"such as {patient}"
    first, second = (next(image.name for image in side if image.patient == patient) for side in (some, others))
    return f"such as that of {first} and {second}"


def _shared(some: Iterable[Image], others: Iterable[Image]) -> set[str]:
    known = {image.patient for image in some if not is_unknown(image.patient) or image.patient.startswith(STUDY)}
    return known & {image.patient for image in others}


def _two_sides(both: set[str], split: str) -> InputError:
    names = ", ".join(sorted(both)[:5])
    return InputError(
        f"{counted(len(both), 'patient')} of the split {split} have images in another split too: {names}; give all "
        "images of a patient the same split"
    )


def _was_divided_anew(tested: Sequence[Image], rest: Sequence[Image]) -> bool:
    """Return whether somebody divided a known data set again, by image.

    Where only numbers begin again, either no patient of one number and subtype is on both sides, as in the published
    archive, or their file names are there twice.
    """
    patients = {(image.patient, image.subtype) for image in rest}
    names = {image.base_name for image in rest}
    divided = {
        image.patient for image in tested if (image.patient, image.subtype) in patients and image.base_name not in names
    }
    return len(divided) > FEW * len({image.patient for image in tested})


def _apart(images: Iterable[Image]) -> list[Image]:
    return [
        replace(image, patient=f"{TEST_PATIENT}{image.patient}") if image.official_split == "test" else image
        for image in images
    ]
