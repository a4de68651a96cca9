"""The box around the lungs, what the classifier sees of it, and its heat map in the image."""

import keras
import numpy as np
import pytest

from pipeline.config import ModelConfig
from pipeline.networks import inference_model, lungs, models
from pneumo_tfds.decode.pixels import resize
from pneumo_tfds.phantoms.drawing import render

SIDE = 96


def chests(count: int, side: int = SIDE) -> np.ndarray:
    """Return drawn chests, uint8 `[count, side, side, 1]`."""
    return np.stack([resize(render(0, f"p{number}", f"n{number}", "normal"), side) for number in range(count)])


def boxes(images: np.ndarray) -> np.ndarray:
    image = keras.Input(images.shape[1:])
    return keras.Model(image, lungs.find(image)).predict(images.astype(np.float32), verbose=0)


def test_lungs_are_found_where_they_are_drawn_and_follow_a_shift():
    images = chests(8)
    found = boxes(images)
    assert (found[:, :2] < 0.35).all()
    assert (found[:, 2:] > [0.65, 0.5]).all()
    moved = np.zeros_like(images)
    moved[:, 12:, :] = images[:, :-12, :]
    down = boxes(moved) - found
    assert np.median(down[:, 1]) == pytest.approx(12 / SIDE, abs=0.05)
    assert np.median(down[:, 0]) == pytest.approx(0, abs=0.05)


def test_a_crop_of_the_whole_image_is_the_image_and_a_crop_of_a_part_is_that_part():
    image = np.random.default_rng(0).uniform(0, 255, (1, 40, 40, 1)).astype(np.float32)
    whole = np.array([[0, 0, 1, 1]], np.float32)
    np.testing.assert_allclose(lungs.crop(image, whole, 40, reach=1), image, atol=1e-3)
    part = np.array([[0.25, 0.5, 0.75, 1.0]], np.float32)
    np.testing.assert_allclose(lungs.crop(image, part, 20, reach=1), image[:, 20:40, 10:30], atol=1e-3)


def test_a_smaller_crop_averages_and_does_not_skip():
    stripes = np.zeros((1, 64, 64, 1), np.float32)
    stripes[:, ::2] = 255
    small = np.asarray(lungs.crop(stripes, np.array([[0, 0, 1, 1]], np.float32), 16))
    np.testing.assert_allclose(small[:, 2:-2], 127.5, atol=5)


def test_what_the_classifier_sees_moves_by_less_than_half_of_an_invisible_change():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (1, SIDE, SIDE, 1)).astype(np.float32)
    other = image + rng.choice((-1, 1), image.shape).astype(np.float32)
    box = np.array([[0.1, 0.1, 0.9, 0.9]], np.float32)
    side = lungs.side_of(SIDE)

    def moved(**options):
        return float(np.std(lungs.crop(other, box, side, **options) - lungs.crop(image, box, side, **options)))

    assert moved() < 0.5
    assert moved() < 0.75 * moved(reach=1)


def test_a_heat_map_lies_where_its_box_is_and_keeps_its_mean():
    heat = np.zeros((1, 4, 4), np.float32)
    heat[0, 0, 0] = 16.0
    box = np.array([[0.5, 0.5, 1.0, 1.0]], np.float32)
    wide = np.asarray(lungs.spread(heat, box, 8))
    assert wide.mean() == pytest.approx(heat.mean(), rel=1e-5)
    assert not wide[0, :3].any()
    assert not wide[0, :, :3].any()
    assert np.unravel_index(wide[0].argmax(), (8, 8)) == (4, 4)


def test_what_surrounds_the_lungs_changes_no_answer():
    """The same box, other surroundings: the classifier sees the same."""
    box = np.array([[0.25, 0.25, 0.75, 0.75]], np.float32)
    images = chests(1).astype(np.float32)
    around = images.copy()
    around[:, :20] = around[:, -20:] = 200
    around[:, :, :20] = around[:, :, -20:] = 3
    first, second = (np.asarray(lungs.crop(each, box, 32)) for each in (images, around))
    np.testing.assert_array_equal(first, second)


def test_the_network_sees_a_square_of_four_sevenths():
    assert [lungs.side_of(size) for size in (64, 160, 192, 224, 512)] == [32, 96, 96, 128, 288]
    network = models.build(ModelConfig(model="compact", crop="lungs"), 224)
    assert network.get_layer(lungs.SEEN).output.shape == (None, 128, 128, 1)
    assert lungs.SEEN not in [layer.name for layer in models.build(ModelConfig(model="compact"), 224).layers]


def test_the_heat_map_of_a_cropping_network_is_that_of_the_image():
    network = inference_model.committee([models.build(ModelConfig(model="compact", crop="lungs"), SIDE)])
    images = chests(3)
    answer = network.predict(images.astype(np.float32), verbose=0)
    assert answer["heatmap"].shape == (3, 6, 6)
    np.testing.assert_allclose(answer["heatmap"].mean(axis=(1, 2)), answer["logit"][:, 0], atol=1e-4)


def test_finding_lungs_takes_no_part_in_training():
    network = models.build(ModelConfig(model="compact", crop="lungs"), SIDE)
    assert not [weight.path for weight in network.trainable_weights if "find_" in weight.path]


def test_a_box_is_never_smaller_than_its_least_size_and_gets_a_margin():
    box = np.array([[0.5, 0.5, 0.51, 0.9]], np.float32)
    wide = np.asarray(lungs.with_margin(box))
    assert wide[0, 2] - wide[0, 0] == pytest.approx(lungs.SMALLEST * (1 + 2 * lungs.MARGIN), rel=1e-4)
    assert wide[0, 3] - wide[0, 1] == pytest.approx(0.4 * (1 + 2 * lungs.MARGIN), rel=1e-4)
