"""The fast gradients of depthwise convolutions equal TensorFlow's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.networks.depthwise_bfloat16 import DepthwiseConv, layer_class


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("sides", [(8, 8), (7, 7), (9, 6), (1, 1), (2, 3)])
def test_answer_and_gradients_are_those_of_keras(sides, kernel, stride):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(2, *sides, 3)), tf.float32)
    options = {"padding": "same", "use_bias": False}
    plain, ours = keras.layers.DepthwiseConv2D(kernel, stride, **options), DepthwiseConv(kernel, stride, **options)
    answers = []
    for layer in (plain, ours):
        layer.build(x.shape)
        layer.kernel.assign(rng.normal(size=layer.kernel.shape) if layer is plain else plain.kernel)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y * tf.reshape(tf.range(tf.size(y), dtype=tf.float32), tf.shape(y)))
        answers.append((y, *tape.gradient(loss, [x, layer.kernel.value])))
    for expected, found in zip(*answers, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("policy", "expected"), [("float32", keras.layers.DepthwiseConv2D), ("mixed_bfloat16", DepthwiseConv)]
)
def test_it_is_used_in_bfloat16_on_a_cpu_alone(policy, expected, monkeypatch):
    assert layer_class(policy) is expected
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    assert layer_class(policy) is keras.layers.DepthwiseConv2D
