"""The sentence about the splits tells how they were made, and never claims patients that nobody knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pneumo_tfds.phantoms.phantom_source import phantom_source
from pneumo_tfds.sources.identifiers import unknown
from pneumo_tfds.sources.inventory import Source
from pneumo_tfds.splits.assignment import assign
from pneumo_tfds.splits.options import SplitOptions
from pneumo_tfds.writing.dataset_metadata import split_rule


def source(splits: str, *, unknown_patients: int = 0) -> Source:
    """Phantoms in one of the splits each, whose splits are given; the first have unknown patients."""
    words, drawn = splits.split(), phantom_source(120)
    patients = sorted({image.patient for image in drawn.images})
    side = {patient: words[index % len(words)] if words else "" for index, patient in enumerate(patients)}
    images = [replace(image, official_split=side[image.patient]) for image in drawn.images]
    images = [
        replace(image, patient=unknown(image.name)) if index < unknown_patients else image
        for index, image in enumerate(images)
    ]
    return replace(drawn, images=tuple(images), validation="given")


def rule(source: Source, options: SplitOptions | None = None) -> str:
    options = options or SplitOptions()
    return split_rule(source, assign(source.images, (), options, source.validation).test_origin, options)


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ("train val test", "as given by the source: train and validation; test is as given by the source"),
        ("train val", "as given by the source: train and validation; there is no test split, because the source"),
        ("train test", "20% of the other patients validate; test is as given by the source"),
        ("train", "20% of the other patients validate; there is no test split, because the source gives splits"),
        ("", "20% of the other patients validate; 15% of the patients test, because the source has no test folder"),
    ],
)
def test_what_is_given_and_what_is_drawn_are_told_apart(splits, words):
    assert words in rule(source(splits))


def test_the_published_archive_has_its_official_test_and_is_divided_by_patient():
    text = rule(phantom_source(120))
    assert text.startswith("by patient, drawn by a hash of the patient")
    assert text.endswith("test is the official test folder")


def test_where_no_patient_is_known_the_split_is_by_image():
    text = rule(source("", unknown_patients=120))
    assert text.startswith("by image, because no image tells its patient")
    assert "patients" not in text


def test_images_of_unknown_patients_are_counted():
    assert rule(source("", unknown_patients=7)).startswith("by image for 7 of 120 images, which tell no patient")
    text = rule(source("train val test", unknown_patients=0))
    assert "tell no patient" not in text
    whole = source("train val test")
    images = tuple(replace(i, patient=unknown(i.name)) for i in whole.images[:3]) + whole.images[3:]
    assert "3 of 120 images tell no patient" in split_rule(replace(whole, images=images), "official", SplitOptions())


def test_a_source_that_is_not_divided_says_so():
    assert rule(source("train val"), SplitOptions(whole=True)).startswith("not divided: all images are one split")
    assert "official test split" in rule(source("test"), SplitOptions(whole=True))


def test_given_splits_are_another_dataset_and_older_ones_are_found():
    """The fingerprint of phantoms: a change would build every dataset anew."""
    drawn, text = phantom_source(60), SplitOptions().as_text()
    assert drawn.fingerprint(text) == "de7ffc7e298f"
    assert replace(drawn, validation="given").fingerprint(text) != drawn.fingerprint(text)
    assert drawn.fingerprint(SplitOptions(whole=True).as_text()) != drawn.fingerprint(text)
