"""Fused batch normalization says and learns what Keras's own does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.normalization import FusedNormalization, layer_class


def trained(kind, x, frozen=False):
    """Answer, gradients and moving statistics of one training step."""
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


@pytest.mark.parametrize(
    ("policy", "expected"), [("float32", keras.layers.BatchNormalization), ("mixed_bfloat16", FusedNormalization)]
)
def test_it_is_used_in_bfloat16_on_a_cpu_alone(policy, expected, monkeypatch):
    outer = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        assert layer_class() is expected
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
        assert layer_class() is keras.layers.BatchNormalization
    finally:
        keras.config.set_dtype_policy(outer)
