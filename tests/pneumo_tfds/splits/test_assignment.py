"""Splits: no patient and no byte-identical image on two sides, whatever the source."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.splits.assignment import SPLITS, assign
from pneumo_tfds.splits.duplicates import check_labels, group_by_digest
from pneumo_tfds.splits.options import SplitOptions


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


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.4])
def test_fractions_are_met_in_every_stratum(fraction):
    images = cohort(6000)
    split = assign(images, options=SplitOptions(fraction, 0.15)).split
    for subtype in ("normal", "bacteria", "virus"):
        members = [image for image in images if image.subtype == subtype]
        share = {name: sum(split[image.name] == name for image in members) / len(members) for name in SPLITS}
        assert share["test"] == pytest.approx(0.15, abs=0.04)
        assert share["validation"] == pytest.approx(0.85 * fraction, abs=0.04)


def test_adding_patients_moves_nobody():
    before, after = assign(cohort(300)).split, assign(cohort(600)).split
    assert all(after[name] == side for name, side in before.items())


def test_a_larger_validation_fraction_contains_the_smaller():
    small, large = (assign(cohort(600), options=SplitOptions(fraction)).split for fraction in (0.1, 0.3))
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
    with pytest.raises(InputError) as refused:
        assign([*images, make("p0", "virus", 9, "test")])
    assert str(refused.value) == (
        "patient p0 has images in test (test/PNEUMONIA/p0-virus-9.jpeg) and train (/NORMAL/p0-normal-0.jpeg); 2 "
        "patients of this kind; move all images of a patient to one split, or correct the patients"
    )


def test_identical_images_with_different_labels_are_an_error():
    images = cohort(3)
    with pytest.raises(InputError, match=r"p0-normal-0\.jpeg \(NORMAL\) and .* same image with different labels"):
        check_labels([(images[0], images[1])])


@pytest.mark.parametrize("name", ["validation_fraction", "test_fraction"])
@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0])
def test_impossible_fractions(name, fraction):
    with pytest.raises(InputError) as refused:
        SplitOptions(**{name: fraction})
    assert str(refused.value).startswith(f"--{name.replace('_', '-')} is {fraction}; it must be above 0")


def test_three_patients_of_a_class_are_enough_and_two_are_not():
    three = [make(f"{kind}{i}", kind, 0) for kind in ("normal", "bacteria") for i in range(3)]
    assert set(assign(three).split.values()) == set(SPLITS)
    for kind, label in (("normal", "NORMAL"), ("bacteria", "PNEUMONIA")):
        with pytest.raises(InputError) as refused:
            assign([image for image in three if image.patient != f"{kind}2"])
        assert str(refused.value).endswith(
            f" split would have no {label} image; the source has 2 {label} patients to divide; add images of more "
            f"{label} patients (three of each class are the least, two where there is a test split)"
        )


def test_a_patients_side_follows_from_the_name_alone():
    """By SHA-256, whatever the machine or the version: a model trained last year has not seen this year's test."""
    images = cohort(900)
    split = assign(images, options=SplitOptions(0.25, 0.2)).split
    for image in images:
        side = "train"
        if place("test", image.patient) < 0.2:
            side = "test"
        elif place("validation", image.patient) < 0.25:
            side = "validation"
        assert split[image.name] == side


def place(purpose, patient):
    digest = hashlib.sha256(f"pneumo_tfds/{purpose}/{patient}".encode()).hexdigest()
    return int(digest[:16], 16) / 16**16


@pytest.mark.parametrize(("fraction", "moved", "to"), [(0.01, min, "validation"), (0.99, max, "train")])
def test_a_rare_kind_sends_the_patient_who_is_nearest_to_the_side_that_has_none(fraction, moved, to):
    """Ten virus patients, whom so extreme a fraction would put all on one side."""
    viruses = [f"rare{i}" for i in range(10)]
    assert {place("validation", name) < fraction for name in viruses} == {fraction > 0.5}
    others = [make(f"p{i}", kind, 0) for i in range(400) for kind in ("normal", "bacteria")[i % 2 :][:1]]
    test = [make(f"test{i}", kind, 0, "test") for i, kind in enumerate(("normal", "virus"))]
    split = assign([*others, *test, *(make(name, "virus", 0) for name in viruses)], (), SplitOptions(fraction)).split
    sides = {name: split[make(name, "virus", 0).name] for name in viruses}
    assert [name for name in viruses if sides[name] == to] == [moved(viruses, key=lambda n: place("validation", n))]


def test_a_single_patient_of_a_kind_stays_where_the_name_says():
    """There is no second one to give to the other side, so nobody is moved."""
    others = [make(f"p{i}", ("normal", "bacteria")[i % 2], 0) for i in range(60)]
    test = [make("test:n", "normal", 0, "test"), make("test:b", "bacteria", 0, "test")]
    sides = set()
    for number in range(15):
        lone = make(f"lone{number}", "virus", 0)
        side = assign([*others, *test, lone]).split[lone.name]
        assert side == ("validation" if place("validation", lone.patient) < 0.2 else "train")
        sides.add(side)
    assert sides == {"train", "validation"}


def test_a_label_has_both_sides_even_when_each_of_its_kinds_is_one_patient():
    """One bacteria and one virus patient: no stratum has two, but PNEUMONIA has."""
    images = [make(f"n{i}", "normal", 0) for i in range(40)]
    images += [make("test:n", "normal", 0, "test"), make("test:v", "virus", 0, "test")]
    for number in range(20):
        pair = [make(f"b{number}", "bacteria", 0), make(f"v{number}", "virus", 0)]
        split = assign([*images, *pair]).split
        assert {split[image.name] for image in pair} == {"train", "validation"}


def test_patients_who_share_an_image_go_where_the_first_of_them_would():
    images = [make(f"p{i}", ("normal", "virus")[i % 2], 0) for i in range(300)]
    normal = [image for image in images if image.subtype == "normal"]
    twins = [(normal[i], normal[i + 1]) for i in range(0, 140, 2)]
    reversed_twins = [pair[::-1] for pair in twins]
    split = assign(images, twins).split
    assert split == assign(images, reversed_twins).split
    for pair in twins:
        first = min(image.patient for image in pair)
        side = "test" if place("test", first) < 0.15 else "validation" if place("validation", first) < 0.2 else "train"
        assert {split[image.name] for image in pair} == {side}


def test_a_copy_that_was_dropped_ties_nobody_together():
    """Copies of a test image under two patients leave training; the patients' other images stay apart."""
    test = [make("test:a", "normal", 0, "test"), make("test:b", "virus", 0, "test")]
    images = [make(f"p{i}", ("normal", "virus")[i % 2], j) for i in range(200) for j in range(2)]
    first = [image for image in images if image.subtype == "normal" and image.name.endswith("-0.jpeg")]
    assignment = assign([*images, *test], [(*first, test[0])])
    assert assignment.dropped == {image.name: f"identical to {test[0].name} of test" for image in first}
    assert set(assignment.split) == {image.name for image in [*images, *test]} - {image.name for image in first}
    kept = [image for image in images if image.subtype == "normal" and image.name.endswith("-1.jpeg")]
    assert {assignment.split[image.name] for image in kept} == {"train", "validation"}


def test_where_the_test_split_comes_from_is_on_record():
    assert assign(cohort(60)).test_origin == "carved"
    official = [make("test:a", "normal", 0, "test"), make("test:b", "virus", 0, "test")]
    assert assign([*cohort(60), *official]).test_origin == "official"
    assert assign(cohort(60)).dropped == {}


@settings(max_examples=150, deadline=None)
@given(sources(), st.sampled_from([0.1, 0.2, 0.5]))
def test_no_patient_and_no_identical_image_in_two_splits(source, fraction):
    images, groups = source
    assignment = assign(images, groups, SplitOptions(fraction))
    assert assignment == assign(list(reversed(images)), list(reversed(groups)), SplitOptions(fraction))
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


def given(sides: dict[str, str], kinds=("normal", "virus")) -> list[Image]:
    """One image of each kind for each patient, in the split that `sides` gives the patient."""
    return [make(patient, kind, 0, side) for patient, side in sides.items() for kind in kinds]


def test_given_splits_are_obeyed():
    images = given({"a": "train", "b": "val", "c": "test", "d": "train"})
    found = assign(images, validation="given")
    assert found.test_origin == "official"
    names = {"train": "train", "val": "validation", "test": "test"}
    assert found.split == {image.name: names[image.official_split] for image in images}


def test_splits_given_without_test_have_no_test():
    found = assign(given({f"p{i}": "val" if i % 3 else "train" for i in range(9)}), validation="given")
    assert found.test_origin == "none"
    assert set(found.split.values()) == {"train", "validation"}


def test_validation_is_drawn_from_train_where_only_test_is_given():
    images = given({f"p{i}": "train" if i % 3 else "test" for i in range(30)})
    split = assign(images, validation="given").split
    assert {name for name, side in split.items() if side == "test"} == {
        i.name for i in images if i.official_split == "test"
    }
    sides = {image.patient: split[image.name] for image in images if image.official_split == "train"}
    assert set(sides.values()) == {"train", "validation"}
    assert all(split[image.name] == sides[image.patient] for image in images if image.official_split == "train")


def test_a_patient_on_two_sides_of_given_splits_is_refused_by_name():
    images = [*given({"a": "train", "b": "val", "c": "train"}), make("a", "virus", 7, "val")]
    with pytest.raises(InputError, match=r"patient a has images in train .* and validation .*; 1 patient of this kind"):
        assign(images, validation="given")


def test_one_file_in_two_given_splits_is_refused_by_name():
    images = given({"a": "train", "b": "val", "c": "train"})
    copies = [image for image in images if image.patient in "ab" and image.subtype == "virus"]
    with pytest.raises(InputError, match=r"a-virus-0.* are the same file in two splits"):
        assign(images, [copies], validation="given")


def test_one_patient_for_all_images_is_named_as_the_cause():
    images = [make("anna", kind, index) for kind in ("normal", "virus") for index in range(5)]
    with pytest.raises(InputError, match="all 10 images have the patient anna, so nothing can be divided; correct the"):
        assign(images)


def test_one_patient_for_all_images_of_a_class_is_named_as_the_cause():
    images = [make("ill", "virus", index) for index in range(5)] + [make(f"p{i}", "normal", 0) for i in range(9)]
    with pytest.raises(InputError, match="no PNEUMONIA image; all 5 PNEUMONIA images have the patient ill; correct"):
        assign(images)


def test_patients_who_are_too_few_because_they_share_a_file_are_named_as_the_cause():
    images = [make(f"{kind}{i}", kind, 0) for kind in ("normal", "virus") for i in range(4)]
    normal = [image for image in images if image.label == "NORMAL"]
    with pytest.raises(InputError, match="4 NORMAL patients to divide, and those who share an identical file count as"):
        assign(images, [normal[:3]])


@pytest.mark.parametrize("validation", ["given", "redrawn"])
def test_a_source_of_test_images_alone_is_said_to_leave_nothing_to_train_on(validation):
    with pytest.raises(InputError, match=r"all 6 images are in test, .* use python -m pipeline\.evaluate RUN --source"):
        assign(given({"a": "test", "b": "test", "c": "test"}), validation=validation)


@pytest.mark.parametrize(
    ("split", "remedy"),
    [
        ("val", "validation split would have no NORMAL image; the source gives it none; .* or leave validation out"),
        ("test", "test split would have no NORMAL image; the source gives it none; move NORMAL patients there$"),
        ("train", "train split would have no NORMAL image; all of them are in test and validation; move patients to"),
    ],
)
def test_a_given_split_without_a_class_is_refused_with_a_remedy_for_it(split, remedy):
    images = given({"a": "train", "b": "val", "c": "test"})
    images = [image for image in images if (image.official_split, image.label) != (split, "NORMAL")]
    with pytest.raises(InputError, match=remedy):
        assign(images, validation="given")


def test_a_file_in_a_given_split_and_in_none_is_refused():
    images = [*given({"a": "train", "b": "val", "c": ""})]
    copies = [image for image in images if image.patient in "bc" and image.subtype == "virus"]
    with pytest.raises(InputError, match=r"\(train\) and .* \(validation\) are the same file in two splits; 1 group"):
        assign(images, [copies], validation="given")


def test_given_splits_of_a_source_that_gives_none_are_drawn_as_ever():
    assert assign(cohort(60), validation="given") == assign(cohort(60))


def test_a_whole_source_is_one_split_whatever_it_is():
    images = [make("anna", "normal", 0, "train"), make("anna", "normal", 1, "test")]
    found = assign(images, [images], SplitOptions(whole=True))
    assert set(found.split.values()) == {"test"}
    assert found.dropped == {}
    assert found.test_origin == "whole"
    assert assign(images[1:], options=SplitOptions(whole=True)).test_origin == "official"
