"""The last layer on a frozen backbone: the same result as training the whole network, in less time."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import AugmentConfig, FitConfig, ModelConfig, RunConfig
from pipeline.data.split import Examples, MemorySplit
from pipeline.devices.precision import Execution
from pipeline.networks import lungs
from pipeline.networks.forward_pass import LogitsFn
from pipeline.training.fit import fit
from pipeline.training.trained_part import ROOM, LastLayer, WholeNetwork, network_part, part_to_train

SIDE = 32
FROZEN = RunConfig(
    model=ModelConfig(model="efficientnet_lite0", fine_tune_blocks=0, dropout=0.0),
    augment=AugmentConfig(augment=False),
    fit=FitConfig(epochs=2, batch_size=8, learning_rate=1e-2, precision="float32", warmup=0.0),
)


def split(name, count, seed):
    """Return images whose brightness gradient gives the class."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    ramp = np.linspace(-60, 60, SIDE)[None, :, None] * np.where(labels, 1, -1)[:, None, None]
    images = np.clip(128 + ramp + random.normal(0, 30, (count, SIDE, SIDE)), 0, 255).astype(np.uint8)[..., None]
    text = np.array([str(number) for number in range(count)])
    return MemorySplit(name, Examples(images, labels, text, text, text))


@pytest.fixture(scope="module")
def splits():
    return split("train", 48, 0), split("validation", 24, 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"model": replace(FROZEN.model, fine_tune_blocks=1)}, False),
        ({"model": replace(FROZEN.model, pretrained_weights="none")}, False),
        ({"augment": AugmentConfig()}, False),
        ({"fit": replace(FROZEN.fit, mixup=0.2)}, False),
    ],
)
def test_the_last_layer_alone_is_trained_where_features_never_change(splits, change, expected):
    assert isinstance(part_to_train(replace(FROZEN, **change), splits[0]), LastLayer) == expected


@pytest.mark.slow
def test_head_on_kept_features_learns_what_the_whole_network_would(splits, monkeypatch):
    fast = fit(FROZEN, *splits)
    monkeypatch.setattr("pipeline.training.fit.part_to_train", lambda config, train: WholeNetwork(config, SIDE))
    whole = fit(FROZEN, *splits)
    assert fast.network.input_shape == (None, SIDE, SIDE, 1)
    for one, other in zip(fast.history, whole.history, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=0.02)
    images = splits[1].examples.images
    one, other = (LogitsFn(fitted.network).logits([images]) for fitted in (fast, whole))
    np.testing.assert_allclose(one, other, atol=0.05)


@pytest.mark.slow
def test_backbone_sees_every_image_once(splits):
    head = LastLayer(FROZEN, SIDE)
    features = head.inputs(splits[0])
    assert features.examples.images.shape == (48, 1, 1, 1280)
    logits = head.build(Execution("CPU", "float32", False))(tf.constant(features.examples.images))
    assert logits.shape == (48, 1)
    np.testing.assert_array_equal(features.labels, splits[0].labels)


CROPPED = RunConfig(
    model=ModelConfig(model="compact", crop="lungs"),
    augment=AugmentConfig(augment=False),
    fit=FitConfig(epochs=1, batch_size=8, precision="float32"),
)


def test_crops_that_are_made_once_are_what_the_network_sees(splits):
    part = network_part(CROPPED, SIDE)
    crops = part.inputs(splits[0])
    assert crops.examples.images.shape == (48, 32, 32, 1)
    assert crops.examples.images.dtype == np.uint8
    seen = keras.Model(part.network.input, part.network.get_layer(lungs.SEEN).output)
    expected = seen.predict(splits[0].examples.images.astype(np.float32), verbose=0)
    np.testing.assert_allclose(crops.examples.images, expected, atol=0.51)


def test_crops_for_random_framing_have_room_around_the_same_middle(splits):
    part = network_part(CROPPED, SIDE)
    plain, wide = (part.inputs(splits[0], room=room).examples.images for room in (False, True))
    side, room = plain.shape[1], wide.shape[1]
    assert room == round(ROOM * side)
    edge = (room - side) // 2
    middle = wide[:, edge : edge + side, edge : edge + side].astype(float)
    assert np.abs(middle - plain).mean() < 0.5 * np.abs(plain - plain.mean()).mean()


def test_crops_for_random_framing_keep_the_detail_that_framing_smooths(splits):
    part = network_part(CROPPED, SIDE)
    plain, wide = (part.inputs(splits[0], room=room).examples.images.astype(float) for room in (False, True))
    detail = [np.abs(np.diff(images, axis=2)).mean() for images in (plain, wide)]
    assert detail[1] > 1.2 * detail[0]


def test_the_trained_part_ends_in_the_whole_network(splits):
    part = network_part(CROPPED, SIDE)
    trained = part.build(Execution("CPU", "float32", False))
    logits = trained(tf.cast(part.inputs(splits[1]).examples.images, tf.float32))
    whole = part.complete(trained)(tf.cast(splits[1].examples.images, tf.float32))
    np.testing.assert_allclose(whole, logits, atol=0.05)


@pytest.mark.slow
def test_a_cropping_network_is_trained_and_answers_for_whole_images(splits):
    fitted = fit(replace(CROPPED, augment=AugmentConfig()), *splits)
    assert fitted.network.input_shape == (None, SIDE, SIDE, 1)
    assert lungs.BOX in [layer.name for layer in fitted.network.layers]
