"""Fused batch normalization has the outputs, gradients and statistics of Keras's own layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import ModelConfig
from pipeline.networks.fused_batch_norm import LANES, FusedNormalization
from pipeline.networks.models import build


def trained(kind, x, frozen=False):
    """Return output, gradients and moving statistics of one training step."""
    layer = kind(epsilon=1e-3, momentum=0.9)
    layer.build(x.shape)
    for number, weight in enumerate(layer.weights):
        weight.assign(np.random.default_rng(number).uniform(0.5, 1.5, weight.shape))
    layer.trainable = not frozen
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(y * tf.reshape(tf.range(tf.size(y), dtype=tf.float32), tf.shape(y)) / 100)
    gradients = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
    return [y, *gradients, layer.moving_mean, layer.moving_variance, layer(x, training=False)]


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("shape", [(4, 5, 5, 3), (2, 1, 1, 6)])
def test_answer_gradients_and_statistics_are_those_of_keras(shape, frozen):
    x = tf.constant(np.random.default_rng(9).normal(2.0, 3.0, shape), tf.float32)
    for expected, found in zip(
        trained(keras.layers.BatchNormalization, x, frozen), trained(FusedNormalization, x, frozen), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("channels", [LANES, LANES + 8])
def test_bfloat16_comes_out_as_it_went_in_and_close_to_float32(channels):
    x = tf.constant(np.random.default_rng(9).normal(2.0, 3.0, (4, 5, 5, channels)), tf.float32)
    layer = FusedNormalization(dtype="mixed_bfloat16")
    found = layer(tf.cast(x, tf.bfloat16), training=True)
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(
        tf.cast(found, tf.float32), keras.layers.BatchNormalization()(x, training=True), atol=0.03
    )


@pytest.mark.parametrize("name", ["compact", "efficientnet_lite0"])
def test_it_trains_and_is_not_in_what_is_kept(name):
    config = ModelConfig(model=name, pretrained_weights="none")
    trained, kept = build(config, 32, fused=True), build(config, 32)
    kinds = [
        {type(layer) for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)}
        for network in (trained, kept)
    ]
    assert kinds == [{FusedNormalization}, {keras.layers.BatchNormalization}]
    assert [weight.path for weight in trained.weights] == [weight.path for weight in kept.weights]
