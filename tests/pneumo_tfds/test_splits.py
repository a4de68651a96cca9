"""Splits: no patient and no byte-identical image on two sides, whatever the source."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumo_tfds.duplicates import check_labels, group_by_digest
from pneumo_tfds.errors import InputError
from pneumo_tfds.inventory import Image
from pneumo_tfds.splits import SPLITS, assign


def make(patient: str, subtype: str, index: int, official: str = "") -> Image:
    label = "NORMAL" if subtype == "normal" else "PNEUMONIA"
    return Image(f"{official}/{label}/{patient}-{subtype}-{index}.jpeg", label, patient, subtype, official)


def cohort(patients: int, start: int = 0) -> list[Image]:
    """A third of the patients each normal, bacteria, virus; one to four images a patient."""
    kinds = ("normal", "bacteria", "virus")
    return [make(f"p{i}", kinds[i % 3], j) for i in range(start, start + patients) for j in range(1 + i % 4)]


@st.composite
def sources(draw):
    """Images of random patients, some with several subtypes, some byte-identical, with or without official folders."""
    official = draw(st.booleans())
    images, digests = [], {}
    for number in range(draw(st.integers(12, 60))):
        kinds = draw(st.sampled_from([["normal"], ["bacteria"], ["virus"], ["bacteria", "virus"]]))
        folder = draw(st.sampled_from(["train", "train", "val", "test"])) if official else ""
        patient = f"test:person{number}" if folder == "test" else f"person{number}"
        for index in range(draw(st.integers(1, 4))):
            image = make(patient, kinds[index % len(kinds)], index, folder)
            images.append(image)
            digests[image] = f"{image.label}{draw(st.integers(0, 200))}"
    for folder in ("train", "test") if official else ("",):
        for kind in ("normal", "bacteria"):
            for number in range(1000, 1003):
                prefix = "test:" if folder == "test" else ""
                images.append(make(f"{prefix}{kind}{number}", kind, 0, folder))
    groups = group_by_digest(digests.items())
    return images, groups


@settings(max_examples=150, deadline=None)
@given(sources(), st.sampled_from([0.1, 0.2, 0.5]))
def test_no_patient_and_no_identical_image_in_two_splits(source, fraction):
    images, groups = source
    assignment = assign(images, groups, fraction)
    assert assignment == assign(list(reversed(images)), list(reversed(groups)), fraction)
    sides = defaultdict(set)
    for image in images:
        if image.name in assignment.split:
            sides[image.patient].add(assignment.split[image.name])
        else:
            assert "of test" in assignment.dropped[image.name]
    assert all(len(found) == 1 for found in sides.values())
    for group in groups:
        assert len({assignment.split[image.name] for image in group if image.name in assignment.split}) == 1
    for image in images:
        if image.official_split == "test":
            assert assignment.split[image.name] == "test"
        elif assignment.test_origin == "official":
            assert assignment.split.get(image.name) != "test"
    present = {(split, name.split("/")[1]) for name, split in assignment.split.items()}
    assert present == {(split, label) for split in SPLITS for label in ("NORMAL", "PNEUMONIA")}


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.4])
def test_fractions_are_met_in_every_stratum(fraction):
    images = cohort(6000)
    split = assign(images, validation_fraction=fraction, test_fraction=0.15).split
    for subtype in ("normal", "bacteria", "virus"):
        members = [image for image in images if image.subtype == subtype]
        share = {name: sum(split[image.name] == name for image in members) / len(members) for name in SPLITS}
        assert share["test"] == pytest.approx(0.15, abs=0.04)
        assert share["validation"] == pytest.approx(0.85 * fraction, abs=0.04)


def test_adding_patients_moves_nobody():
    before, after = assign(cohort(300)).split, assign(cohort(600)).split
    assert all(after[name] == side for name, side in before.items())


def test_a_larger_validation_fraction_contains_the_smaller():
    small, large = (assign(cohort(600), validation_fraction=fraction).split for fraction in (0.1, 0.3))
    assert {n for n, s in small.items() if s == "validation"} < {n for n, s in large.items() if s == "validation"}
    assert {n for n, s in small.items() if s == "test"} == {n for n, s in large.items() if s == "test"}


def test_one_number_under_bacteria_and_virus_stays_together():
    images = [*cohort(60), make("person7", "bacteria", 1), make("person7", "virus", 2)]
    split = assign(images).split
    assert split[images[-1].name] == split[images[-2].name]


def test_patients_who_share_an_image_stay_together():
    images = cohort(90)
    normal = [image for image in images if image.subtype == "normal"]
    chain = [tuple(normal[i : i + 2]) for i in range(20)]
    split = assign(images, chain).split
    assert len({split[image.name] for group in chain for image in group}) == 1


def test_official_val_joins_training_and_test_stays():
    images = [make(f"t{i}", kind, 0, "test") for i in range(3) for kind in ("normal", "virus")]
    images += [
        make(f"{folder}{kind}{i}", kind, 0, folder)
        for folder in ("train", "val")
        for i in range(20)
        for kind in ("normal", "bacteria")
    ]
    assignment = assign(images)
    assert assignment.test_origin == "official"
    assert {assignment.split[i.name] for i in images if i.official_split == "val"} == {"train", "validation"}
    assert {i.name for i in images if i.official_split == "test"} == {
        name for name, side in assignment.split.items() if side == "test"
    }


def test_training_copies_of_test_images_are_dropped():
    images = cohort(30)
    test = [make("test:a", "normal", 0, "test"), make("test:b", "virus", 0, "test")]
    assignment = assign([*images, *test], [(images[0], test[0])])
    assert assignment.dropped == {images[0].name: f"identical to {test[0].name} of test"}
    assert images[0].name not in assignment.split


def test_patient_in_official_test_and_outside_is_an_error():
    images = [*cohort(30), make("p1", "normal", 9, "test"), make("x", "virus", 9, "test")]
    with pytest.raises(InputError, match="patient p1 has images in test and outside it"):
        assign(images)


def test_identical_images_with_different_labels_are_an_error():
    images = cohort(3)
    with pytest.raises(InputError, match=r"p0-normal-0\.jpeg \(NORMAL\) and .* same image with different labels"):
        check_labels([(images[0], images[1])])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0])
def test_impossible_fractions(fraction):
    with pytest.raises(InputError, match="validation_fraction is"):
        assign(cohort(30), validation_fraction=fraction)


def test_three_patients_of_a_class_are_enough_and_two_are_not():
    three = [make(f"{kind}{i}", kind, 0) for kind in ("normal", "bacteria") for i in range(3)]
    assert set(assign(three).split.values()) == set(SPLITS)
    with pytest.raises(InputError, match="would have no NORMAL image"):
        assign([image for image in three if image.patient != "normal2"])
