"""Finish what folders or tables say of images: read the headers, decide who is on each image, and settle the splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pneumo_tfds.decode.dicom_header import HeaderFacts
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources import official_splits
from pneumo_tfds.sources.class_folders import patient_folders
from pneumo_tfds.sources.description import Found
from pneumo_tfds.sources.header_facts import leave_out_unfit, read_headers
from pneumo_tfds.sources.identifiers import (
    STUDY,
    hashed,
    identify,
    is_unknown,
    short_hash,
    study_uid,
    unknown,
)
from pneumo_tfds.sources.inventory import Image, Source
from pneumo_tfds.sources.listing import Labelled, NamedReader
from pneumo_tfds.sources.patient_doubts import Told, warn_of_both_classes, warn_of_unknown
from pneumo_tfds.sources.patients import apart_by_site, decide, with_other_identifiers
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.sources.survey import SurveyNotes


def finish(source: Source, reader: NamedReader, found: Found, options: SourceOptions, notes: SurveyNotes) -> Source:
    """Return the source with its images, after headers and patients were read, and with its survey.

    Raises:
        InputError: a table gives a patient to two splits.
    """
    for name in found.classes.not_met((*options.negative, *options.positive)):
        notes.ask(f"no folder or label is named {name!r}; --yes goes on without it; check its spelling")
    facts = read_headers([one.file for one in found.labelled], reader, Path(source.where), notes)
    unfit = leave_out_unfit(facts, {one.file.name: one.label for one in found.labelled}, notes)
    kept = {one.file.name: one for one in found.labelled if one.file.name not in unfit}
    facts = {name: one for name, one in facts.items() if name in kept}

    folders = {} if found.in_table else kept
    of_folders = {name: uid for name, one in folders.items() if (uid := study_uid(one.patient))}
    told = _told(found, {name: "" if name in of_folders else one.patient for name, one in kept.items()}, facts)
    images, rules = decide([_image(one) for _, one in sorted(kept.items())], told, notes)
    images = apart_by_site(images, {} if found.in_table else kept, notes)
    warn_of_both_classes(images, notes, from_table=found.in_table)
    warn_of_unknown(images, notes)
    _warn_of_studies({of_folders.get(image.name, "") for image in images if is_unknown(image.patient)}, notes)
    images = _with_studies(images, of_folders | {name: one.study for name, one in facts.items() if one.study})

    own_splits = found.in_table and found.has_splits
    images, validation = official_splits.settle(images, own_splits, found.description, options, notes)
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
    numbered = len({one.patient for one in facts.values()}) == len(facts)  # images and not patients
    names = {name: one.name for name, one in facts.items() if numbered and not one.born}
    joins = [
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


def _warn_of_studies(unknown_of: set[str], notes: SurveyNotes) -> None:
    """Warn of folders named like studies, by their identifiers, as these tell no patients."""
    if studies := unknown_of - {""}:
        notes.warn_about_patients(
            f"{counted(len(studies), 'folder')} have the identifier of a study, which is one examination and not a "
            "patient; images of one study are kept together, those of one patient perhaps not"
        )


def _with_studies(images: Sequence[Image], studies: Mapping[str, str]) -> list[Image]:
    """Return the images, those of unknown patients and of one study with one patient; `studies` gives their UIDs."""
    return [
        replace(image, patient=f"{STUDY}{short_hash(studies[image.name])}")
        if is_unknown(image.patient) and image.name in studies
        else image
        for image in images
    ]
