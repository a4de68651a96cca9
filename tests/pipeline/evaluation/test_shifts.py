"""Shifted validation: changes that are documented, repeatable and strong, and figures over them."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.config import EvaluationConfig
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.robustness import UNCHANGED, pooled, summary, through_changes
from pipeline.evaluation.shifts import SHIFTS, WRONG, shifted


@pytest.fixture(scope="module")
def images():
    rows, columns = np.mgrid[0:64, 0:64]
    picture = 128 + 60 * np.sin(rows / 5) * np.cos(columns / 9)
    picture[24:40, 24:40] = 200
    return np.stack([picture, picture[::-1], picture.T]).astype(np.uint8)[..., None]


@pytest.mark.parametrize("name", SHIFTS)
def test_change_is_seen_and_repeats_exactly_for_its_seed(name, images):
    once = shifted(images, name, seed=3)
    assert once.shape == images.shape
    assert once.dtype == np.uint8
    assert np.abs(once.astype(int) - images).mean() > 0.3
    np.testing.assert_array_equal(once, shifted(images, name, seed=3))
    assert (once != shifted(images, name, seed=4)).any()


def test_change_of_an_image_does_not_depend_on_those_after_it(images):
    np.testing.assert_array_equal(shifted(images[:2], "noisy"), shifted(images, "noisy")[:2])


def test_changes_go_where_their_names_say(images):
    def mean(name):
        return shifted(images, name).astype(float).mean()

    def roughness(pictures):
        return np.abs(np.diff(pictures[..., 0].astype(float), axis=1)).mean()

    assert mean("darker") < images.mean() * 0.8
    assert mean("brighter") > images.mean() * 1.1
    assert shifted(images, "flat contrast").std() < images.std() < shifted(images, "hard contrast").std()
    assert mean("high gamma") < images.mean() < mean("low gamma")
    assert roughness(shifted(images, "blurred")) < roughness(images) < roughness(shifted(images, "noisy"))


def test_framing_keeps_the_middle_and_shows_more_or_less_around_it():
    square = np.zeros((1, 101, 101, 1), np.uint8)
    square[:, 30:71, 30:71] = 255
    area = square.sum()
    assert shifted(square, "closer").sum() > 1.2 * area
    assert shifted(square, "farther").sum() < 0.85 * area
    for name in ("closer", "farther", "wider", "taller"):
        seen = shifted(square, name)[0, ..., 0].astype(float)
        rows, columns = np.mgrid[0:101, 0:101]
        assert (seen * rows).sum() / seen.sum() == pytest.approx(50, abs=0.6)
        assert (seen * columns).sum() / seen.sum() == pytest.approx(50, abs=0.6)
    wide = shifted(square, "wider")[0, ..., 0]
    assert (wide.max(axis=0) > 127).sum() > (wide.max(axis=1) > 127).sum()


@pytest.fixture
def validation(images):
    text = np.array(["a", "b", "c"])
    return Predictions(text, text, text, np.array([0, 1, 1]), np.array([0.2, 0.6, 0.9]))


def test_images_go_through_every_change_with_the_seed(images):
    views = dict(through_changes(images, EvaluationConfig(evaluation_seed=5)))
    assert list(views) == list(SHIFTS)
    np.testing.assert_array_equal(views["darker"], shifted(images, "darker", 5))
    assert not dict(through_changes(images, EvaluationConfig(threshold_under_shift=False)))


def test_pooling_counts_each_image_once_a_view(validation):
    other = validation.with_probabilities(np.array([0.5, 0.5, 0.5]))
    joined = pooled({"one": validation, "two": other})
    assert joined.probabilities.tolist() == [0.2, 0.6, 0.9, 0.5, 0.5, 0.5]
    assert joined.patients.tolist() == ["a", "b", "c"] * 2
    assert joined.labels.tolist() == [0, 1, 1] * 2


def test_wrong_images_are_turned_or_inverted():
    image = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1)
    found = {name: change(image)[0, ..., 0].tolist() for name, change in WRONG.items()}
    assert found["turned by 90 degrees"] == [[2, 5, 8], [1, 4, 7], [0, 3, 6]]
    assert found["upside down"] == [[8, 7, 6], [5, 4, 3], [2, 1, 0]]
    assert found["with black and white exchanged"] == [[255, 254, 253], [252, 251, 250], [249, 248, 247]]


def test_images_without_a_part_are_the_rest_enlarged():
    rows = np.repeat(np.arange(0, 200, 20, dtype=np.uint8)[:, None], 10, axis=1)[None, ..., None]
    upper, lower = (WRONG[f"without the {part} 40 %"](rows)[0, ..., 0] for part in ("upper", "lower"))
    assert upper.shape == lower.shape == (10, 10)
    assert (upper[0].tolist(), upper[-1].tolist()) == ([80] * 10, [180] * 10)
    assert (lower[0].tolist(), lower[-1].tolist()) == ([0] * 10, [100] * 10)


def test_summary_takes_mean_and_worst_over_the_changes_alone(validation):
    wrong = validation.with_probabilities(np.array([0.9, 0.6, 0.8]))
    half = validation.with_probabilities(np.array([0.7, 0.6, 0.9]))
    found = summary({UNCHANGED: validation, "one": wrong, "two": half}, threshold=0.5)
    assert found["views"][UNCHANGED]["auroc"] == 1.0
    assert found["views"]["one"]["auroc"] == 0.0
    assert found["mean"]["auroc"] == pytest.approx(0.25)
    assert found["worst"]["auroc"] == 0.0
    assert found["mean"]["specificity"] == 0.0


def test_summary_tells_how_many_images_of_each_view_are_refused(validation):
    known = replace(validation, familiarity=np.array([0.5, 0.02, 0.3]))
    strange = replace(validation, familiarity=np.array([0.0, 0.01, 0.3]))
    found = summary({UNCHANGED: known, "one": strange, "two": known}, 0.5, familiarity_threshold=0.02)
    assert [found["views"][name]["refused"] for name in (UNCHANGED, "one", "two")] == pytest.approx([0, 2 / 3, 0])
    assert (found["mean"]["refused"], found["worst"]["refused"]) == pytest.approx((1 / 3, 2 / 3))
    assert "refused" not in summary({UNCHANGED: known, "one": strange}, 0.5)["worst"]


def test_one_class_changed_alone_is_measured_against_the_other_as_it_is():
    text = np.array(["a", "b", "c", "d"])
    plain = Predictions(text, text, text, np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.7]))
    brighter = plain.with_probabilities(np.array([0.65, 0.75, 0.9, 0.95]))  # every answer higher, the order as good
    found = summary({UNCHANGED: plain, "brighter": brighter}, threshold=0.5)
    assert found["mean"]["auroc"] == 1.0
    assert found["worst"]["auroc_normal_changed"] == pytest.approx(1 / 4)
    assert found["worst"]["auroc_pneumonia_changed"] == 1.0
    assert found["auroc_pooled"] == pytest.approx((4 + 4 + 4 + 1) / 16)
