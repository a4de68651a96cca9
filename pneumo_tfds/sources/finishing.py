"""Finish what folders or tables say of images: read headers, decide who is on each image, and settle the splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pneumo_tfds.decode.dicom_header import HeaderFacts
from pneumo_tfds.program.wording import agreeing, counted
from pneumo_tfds.sources.class_folders import patient_folders
from pneumo_tfds.sources.description import OWN_DESCRIPTION, Description, Found, known_descriptions
from pneumo_tfds.sources.header_facts import leave_out_unfit, read_headers
from pneumo_tfds.sources.identifiers import (
    HEADER_PATIENT,
    STUDY,
    TEST_PATIENT,
    hashed,
    identify,
    is_unknown,
    short_hash,
    study_uid,
    unknown,
)
from pneumo_tfds.sources.inventory import Image, Source, Validation
from pneumo_tfds.sources.listing import Labelled, NamedReader
from pneumo_tfds.sources.patient_doubts import Told, warn_of_both_classes, warn_of_unknown
from pneumo_tfds.sources.patients import apart_by_site, decide, together_by_name, with_other_identifiers
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.words import plain_name

FEW = 0.05
"""Share of the test patients that may have images outside it by chance, if an own description says they are others."""

PUBLISHED_VALIDATION, SUBSTANTIAL = 16, 0.02
"""Images of the published archive's validation folder, which is divided anew, and the share of all images up to which
that is done with larger ones."""


def finish(source: Source, reader: NamedReader, found: Found, options: SourceOptions, notes: SurveyNotes) -> Source:
    """Return the source with its images, after headers and patients were read, and with its survey."""
    for name in (*options.negative, *options.positive):
        if plain_name(name) not in found.classes.met:
            notes.ask(f"no folder or label is named {name!r}; --yes goes on without it; check its spelling")
    facts = read_headers([one.file for one in found.labelled], reader, Path(source.where), notes)
    unfit = leave_out_unfit(facts, {one.file.name: one.label for one in found.labelled}, notes)
    kept = {one.file.name: one for one in found.labelled if one.file.name not in unfit}
    facts = {name: one for name, one in facts.items() if name in kept}

    folders = {} if found.in_table else kept
    of_folders = {name: uid for name, one in folders.items() if (uid := study_uid(one.patient))}
    told = _told(found, {name: "" if name in of_folders else one.patient for name, one in kept.items()}, facts)
    images, rules = decide([_image(one) for _, one in sorted(kept.items())], told, notes)
    images = together_by_name(apart_by_site(images, folders, notes))
    warn_of_both_classes(images, notes, from_table=found.in_table)
    warn_of_unknown(images, notes)
    images = _with_studies(images, of_folders, facts, notes)

    images, validation = _settle(images, found.description, options, notes)
    for text in found.description.notes:
        notes.tell(text)
    for text in found.description.warnings:
        notes.warn(text)
    parts = Counter((kept[image.name].where, image.label, image.official_split, rules[image.name]) for image in images)
    survey = notes.survey(found.description.name, found.description.title, parts)
    return replace(source, images=tuple(images), survey=survey, validation=validation)


def _told(found: Found, listed: Mapping[str, str], facts: Mapping[str, HeaderFacts]) -> list[Told]:
    """Return what tells the patients, the best first; `listed` is what rows or folders say."""
    by_row = Told(found.column or "folder", listed, by_name=not found.in_table)
    headers = [
        Told("DICOM header", {name: one.patient for name, one in facts.items()}),
        Told("name and day of birth in the DICOM header", {name: one.name for name, one in facts.items() if one.born}),
    ]
    unnumbered = not any(one.patient for one in facts.values())
    by_name = {name: one.name for name, one in facts.items() if unnumbered and not one.born}
    numbered = len({one.patient for one in facts.values()}) == len(facts)  # images and not patients
    names = {name: one.name for name, one in facts.items() if numbered and not one.born}
    joins = [
        Told("name in the DICOM header", by_name),
        Told("name in the DICOM header", names, only_joins=True),
        Told("OtherPatientIDs", with_other_identifiers(facts), only_joins=True),
        Told("StudyInstanceUID", {name: hashed(one.study) for name, one in facts.items()}, only_joins=True),
    ]
    if not found.in_table:
        return [*headers, by_row, *joins]
    folders = patient_folders(one.file for one in found.labelled)
    return [by_row, *headers, Told("folder", folders, certain=False, by_name=True), *joins]


def _image(one: Labelled) -> Image:
    file, subtype = one.file, identify(one.file.name, one.label)[1]
    if subtype == "unknown":
        subtype = one.subtype or subtype
    return Image(file.name, one.label, unknown(file.name), subtype, one.split, file.size, file.checksum)


def _with_studies(
    images: Sequence[Image], of_folders: Mapping[str, str], facts: Mapping[str, HeaderFacts], notes: SurveyNotes
) -> list[Image]:
    """Return the images, those of unknown patients and of one study with one patient; warn where folders name studies.

    `of_folders` gives the UID of a study that the folder of an image is named by.
    """
    if studies := {of_folders.get(image.name, "") for image in images if is_unknown(image.patient)} - {""}:
        notes.warn_about_patients(
            f"{counted(len(studies), 'folder')} have the identifier of a study, which is one examination and not a "
            "patient; images of one study are kept together, those of one patient perhaps not"
        )
    uids = {**of_folders, **{name: one.study for name, one in facts.items() if one.study}}
    return [
        replace(image, patient=f"{STUDY}{short_hash(uids[image.name])}")
        if is_unknown(image.patient) and image.name in uids
        else image
        for image in images
    ]


def _settle(
    images: Sequence[Image], description: Description, options: SourceOptions, notes: SurveyNotes
) -> tuple[list[Image], Validation]:
    """Return the images, and whether their splits are final.

    Where patients of the test split are other people whose numbers begin again, their patients get `TEST_PATIENT`. The
    splits are obeyed unless a patient is on two sides of them, which is asked about.
    """
    images = list(images)
    without = [image.name for image in images if not image.official_split]
    if len(without) not in (0, len(images)):
        notes.ask_about_patients(
            f"{counted(len(without), 'image')} of {len(images):,}, the first {without[0]}, "
            f"{agreeing(len(without), 'is', 'are')} in no split, though others are in train, val or test; --yes takes "
            "them for training; else give them one, by a folder, a column or a list"
        )
    tested = [image for image in images if image.official_split == "test"]
    rest = [image for image in images if image.official_split != "test"]
    apart = description.test_patients == "apart"
    if both := _divided_anew(tested, rest, description) if apart else _shared(tested, rest):
        have = agreeing(len(both), "has", "have")
        notes.ask_about_patients(
            f"{counted(len(both), 'patient')} of the test split, {_such_as(both, tested, rest)}, "
            f"{have} images outside it: the same patient ID, study or the like stands on both sides; if it "
            "is one person, this leaks; --yes divides all images anew by patient, a test split too; else move all "
            "images of a patient to one side, or, if the numbers of the test split are other people's, say "
            f'test_patients = "apart" in a description ({OWN_DESCRIPTION})'
        )
        if options.yes:
            return [replace(image, official_split="") for image in images], "redrawn"
    elif apart:
        images = _apart(images)
    validating = [image for image in images if image.official_split == "val"]
    few = len(validating) <= max(PUBLISHED_VALIDATION, SUBSTANTIAL * len(images))
    if (description.validation == "redrawn" and few) or not any(image.official_split for image in images):
        return images, "redrawn"
    training = [image for image in images if image.official_split in ("train", "")]
    if both := _shared(validating, training):
        if description.validation == "redrawn":
            return images, "redrawn"
        drawn = "train and validation anew by patient" if tested else "all images anew by patient, a test split too"
        have = agreeing(len(both), "has", "have")
        notes.ask_about_patients(
            f"{counted(len(both), 'patient')} of the validation split, {_such_as(both, validating, training)}, "
            f"{have} images in train too; --yes divides {drawn}; else move all images of a patient to one side"
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


def _divided_anew(tested: Sequence[Image], rest: Sequence[Image], description: Description) -> set[str]:
    """Return the test patients whose images somebody divided by image, where a description says they are others.

    Where only numbers begin again, either no patient of one number and subtype is on both sides, as in the published
    archive, or their file names are there twice. Whoever writes a description says that of numbers that are there by
    chance, too.
    """
    patients = {(image.patient, image.subtype) for image in rest}
    names = {image.base_name for image in rest}
    divided = {
        image.patient for image in tested if (image.patient, image.subtype) in patients and image.base_name not in names
    }
    by_chance = 0 if description in known_descriptions().values() else FEW * len({image.patient for image in tested})
    return divided if len(divided) > by_chance else set()


def _apart(images: Iterable[Image]) -> list[Image]:
    return [
        replace(image, patient=f"{TEST_PATIENT}{image.patient}") if image.official_split == "test" else image
        for image in images
    ]
