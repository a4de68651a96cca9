"""Forward passes over many images, in batches, by functions that are compiled once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import expit

BATCH = 64


class LogitsFn:
    """The logit of a network or committee as a function of images."""

    def __init__(self, network: keras.Model, dtype: tf.DType = tf.uint8) -> None:
        @tf.function(input_signature=[tf.TensorSpec((None, *network.input_shape[1:]), dtype)])
        def forward(images: Any) -> Any:
            answer = network(tf.cast(images, tf.float32), training=False)
            return answer["logit"] if isinstance(answer, dict) else answer

        self._forward = forward

    def logits(self, batches: Iterable[Any]) -> NDArray[np.float64]:
        """Return the logit of every image of batches uint8 `[b, S, S, 1]`: float64 `[n]`, computed in float32."""
        parts = [self._forward(tf.convert_to_tensor(images)).numpy()[:, 0] for images in batches]
        return np.concatenate(parts).astype(np.float64)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return P(PNEUMONIA), `[n]`, of images uint8 `[n, S, S, 1]`.

        In float64, because a float32 sigmoid rounds to exactly 1 above a logit of 17.
        """
        probabilities: NDArray[np.float64] = expit(self.logits(_batches(images)))
        return probabilities


class OutputsFn:
    """Every output of an inference model as a function of images."""

    def __init__(self, model: keras.Model) -> None:
        signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
        self._forward = tf.function(lambda images: model(images, training=False), input_signature=[signature])

    def __call__(self, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Return the outputs for images uint8 `[n, S, S, 1]`, n at least 1, each `[n, ...]`."""
        parts = [self._forward(tf.constant(part)) for part in _batches(images)]
        return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return P(PNEUMONIA) alone, `[n]`."""
        return self(images)["probability"][:, 0].astype(np.float64)


def _batches(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]
