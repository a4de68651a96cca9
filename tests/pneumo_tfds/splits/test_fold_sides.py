"""Folds: by patient, stratified, each image held out once, and what they refuse."""

from collections import Counter, defaultdict

import pytest

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.splits.fold_sides import sides_of_fold

KINDS = {"normal": "NORMAL", "bacteria": "PNEUMONIA", "virus": "PNEUMONIA"}


def images(normal=30, bacteria=24, virus=16):
    """Patients of each kind with one to three images."""
    counts = {"normal": normal, "bacteria": bacteria, "virus": virus}
    return [
        Image(f"{kind}{patient}-{number}.png", KINDS[kind], f"{kind}{patient}", kind)
        for kind, patients in counts.items()
        for patient in range(patients)
        for number in range(1 + patient % 3)
    ]


def all_sides(found, folds, identical=()):
    return [sides_of_fold(found, identical, folds, number, 0.2) for number in range(1, folds + 1)]


@pytest.mark.parametrize("folds", [2, 5, 16])
def test_every_image_is_held_out_once_and_no_patient_is_on_two_sides(folds):
    found = images()
    sides = all_sides(found, folds)
    held = Counter(name for side in sides for name, place in side.items() if place == "held_out")
    assert held == Counter(image.name for image in found)
    for side in sides:
        of_patient = defaultdict(set)
        for image in found:
            of_patient[image.patient].add(side[image.name])
        assert {len(places) for places in of_patient.values()} == {1}
        assert set(side.values()) == {"train", "validation", "held_out"}


def test_folds_have_the_same_number_of_patients_of_each_kind_but_one():
    found = images()
    held = [{i.patient for i in found if side[i.name] == "held_out"} for side in all_sides(found, 5)]
    assert max(map(len, held)) - min(map(len, held)) <= 1
    for kind in KINDS:
        counts = [sum(patient.startswith(kind) for patient in part) for part in held]
        assert max(counts) - min(counts) <= 1, kind


def test_patients_who_share_a_file_are_in_one_fold():
    found = images()
    pair = [next(i for i in found if i.patient == "bacteria3"), next(i for i in found if i.patient == "bacteria4")]
    apart = all_sides(found, 5)
    assert any(side[pair[0].name] != side[pair[1].name] for side in apart)
    for side in all_sides(found, 5, [pair]):
        assert side[pair[0].name] == side[pair[1].name]


def test_order_of_the_images_does_not_matter_and_validation_differs_between_folds():
    found = images()
    assert all_sides(found, 3) == all_sides(found[::-1], 3)
    first, second, _ = all_sides(found, 3)
    assert {n for n, side in first.items() if side == "validation"} != {
        n for n, side in second.items() if side == "validation"
    }


@pytest.mark.parametrize("folds", [2, 5])
def test_validation_has_its_fraction_of_the_patients_of_each_kind_in_every_fold(folds):
    """A coin for each patient gave a fold of 56 patients a validation of 5."""
    found = images(normal=30, bacteria=45, virus=38)
    for number, side in enumerate(all_sides(found, folds), start=1):
        for kind in KINDS:
            of_kind = {i.patient for i in found if i.subtype == kind and side[i.name] != "held_out"}
            validating = {i.patient for i in found if i.subtype == kind and side[i.name] == "validation"}
            assert abs(len(validating) - 0.2 * len(of_kind)) <= 1, (number, kind)


def test_more_folds_than_patients_of_a_class_are_refused_with_what_to_do():
    with pytest.raises(InputError, match=r"5 folds need 5 NORMAL patients.* there are 3; lower --folds.* or add 2"):
        all_sides(images(normal=3), 5)
    with pytest.raises(InputError, match="2 folds need 4 PNEUMONIA patients"):
        all_sides(images(bacteria=3, virus=0), 2)
    assert all_sides(images(normal=3), 3)
    for side in all_sides(images(normal=4, bacteria=2, virus=2), 2):
        for label in ("NORMAL", "PNEUMONIA"):
            places = {side[i.name] for i in images(normal=4, bacteria=2, virus=2) if i.label == label}
            assert places == {"train", "validation", "held_out"}
