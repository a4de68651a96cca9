"""Groups held out of training: their images, the images that remain, and that no patient is on both sides."""

import numpy as np
import pytest

from pipeline.data.group_holdout import FEWEST, HELD_OUT, members, without
from pipeline.data.split import Examples, MemorySplit
from pneumo_tfds.program.errors import InputError

NORMAL = [f"train/NORMAL/{series}{number:04d}-0001.jpeg" for series in ("IM-", "NORMAL2-IM-") for number in range(100)]
ILL = [
    f"train/PNEUMONIA/person{number}_{kind}_{number}.jpeg" for kind in ("bacteria", "virus") for number in range(100)
]


@pytest.fixture
def examples():
    names = np.array(NORMAL + ILL)
    labels = np.repeat([0, 1], 200)
    images = np.random.default_rng(0).integers(0, 256, (400, 1, 1, 1)) + np.zeros((400, 8, 8, 1))
    patients = np.array([name.split("/")[-1].split("_")[0].removesuffix("-0001.jpeg") for name in names])
    subtypes = np.where(labels == 0, "normal", np.where(np.char.find(names, "virus") > 0, "virus", "bacteria"))
    return Examples(images.astype(np.uint8), labels, patients, subtypes, names)


def divided(examples):
    every_fifth = np.arange(len(examples)) % 5 == 0

    return {
        "train": MemorySplit("train", examples.take(~every_fifth)),
        "validation": MemorySplit("validation", examples.take(every_fifth)),
        "test": MemorySplit("test", examples.take(every_fifth)),
    }


@pytest.mark.parametrize("group", ["im", "normal2-im", "low-numbers", "bright"])
def test_every_image_is_on_one_side_and_no_patient_on_two(examples, group):
    left = without(divided(examples), group)
    assert list(left) == ["train", "validation", HELD_OUT]  # the test split must not influence choices
    names = [set(split.examples.filenames) for split in left.values()]
    assert sum(map(len, names)) == len(set().union(*names)) == 400
    held, learned = (set(left[name].examples.patients) for name in (HELD_OUT, "train"))
    assert not held & learned


def test_a_series_of_normal_images_is_held_out_whole_beside_some_pneumonia(examples):
    held = without(divided(examples), "im")[HELD_OUT].examples
    normal = held.filenames[held.labels == 0]
    assert sorted(normal) == sorted(NORMAL[:100])
    assert 0.05 < (held.labels == 1).sum() / 200 < 0.3


def test_low_numbers_are_the_lowest_of_each_kind(examples):
    inside = members(examples, "low-numbers")
    for series in ("/IM-", "NORMAL2", "bacteria", "virus"):
        rows = np.char.find(examples.filenames, series) > 0
        assert inside[rows][:15].all()
        assert not inside[rows][16:].any()


def test_bright_images_are_the_brightest_of_each_kind(examples):
    inside = members(examples, "bright")
    light = examples.images.mean(axis=(1, 2, 3))
    for kind in np.unique(examples.subtypes):
        rows = examples.subtypes == kind
        assert 0.1 < inside[rows].mean() < 0.2 if kind != "normal" else True
    assert light[inside].mean() > light[~inside].max() * 0.8


def test_a_group_that_leaves_too_little_is_refused(examples):
    few = examples.take([0, 1, 200, 201])
    with pytest.raises(InputError, match=rf"--hold-out im leaves .* at least {FEWEST} of each"):
        without({"train": MemorySplit("train", few), "validation": MemorySplit("validation", few)}, "im")
