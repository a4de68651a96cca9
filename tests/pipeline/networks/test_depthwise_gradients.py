"""The fast gradients of depthwise convolutions equal TensorFlow's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import ModelConfig
from pipeline.networks.depthwise_gradients import SMALL, DepthwiseConv
from pipeline.networks.models import build


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("sides", [(8, 8), (7, 7), (9, 6), (1, 1), (2, 3), (SMALL, SMALL + 1)])
def test_answer_and_gradients_are_those_of_keras(sides, kernel, stride, dtype):
    rng = np.random.default_rng(0)

    def small_integers(*shape):  # whose products and sums bfloat16 has exactly
        return tf.constant(rng.integers(-1, 2, shape), tf.float32)

    x, weights = small_integers(2, *sides, 3), small_integers(kernel, kernel, 3, 1)
    factors, answers = small_integers(2, *(-(-side // stride) for side in sides), 3), []
    for layer_class, precision in ((keras.layers.DepthwiseConv2D, "float32"), (DepthwiseConv, dtype)):
        layer = layer_class(kernel, stride, padding="same", use_bias=False, dtype=precision)
        layer.build(x.shape)
        layer.kernel.assign(weights)
        pixels = tf.cast(x, precision)
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            y = layer(pixels)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) * factors)
        answers.append((y, *tape.gradient(loss, [pixels, layer.kernel.value])))
    for expected, found in zip(*answers, strict=True):
        assert np.any(expected)
        np.testing.assert_array_equal(tf.cast(found, tf.float32), expected)


def test_it_is_used_where_training_on_a_cpu_is_made_fast_and_nowhere_else():
    for fused, expected in ((True, DepthwiseConv), (False, keras.layers.DepthwiseConv2D)):
        network = build(ModelConfig(pretrained_weights="none", crop="none"), 32, fused=fused)
        assert type(network.get_layer("block2_depthwise_conv")) is expected
