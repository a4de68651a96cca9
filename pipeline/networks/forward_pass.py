"""Forward passes over many images, in batches, by functions that are compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import expit

from pneumo_tfds.program.progress import stage

BATCH = 64
REPAID_PIXELS = 20_000_000
"""Pixels to score that repay the conversion to ONNX: 540 images of 192 x 192.

It takes 0.8 s of processor time for `compact` and 2.8 s for EfficientNet-Lite0. An image of 192 x 192 then takes 2.1 ms
instead of 2.7, and 7 instead of 12 (TensorFlow with oneDNN, AVX-512; without oneDNN it takes 3 to 4 times as long).
"""


Answers = dict[str, NDArray[np.float32]]
"""Outputs of a model by name, each `[n, ...]`."""


def joined(parts: Sequence[Mapping[str, Any]]) -> Answers:
    """Return the outputs for several batches, one or more, as those for one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class LogitsFn:
    """The logit of a network or committee as a function of images."""

    def __init__(self, network: keras.Model, dtype: tf.DType = tf.uint8, *, expected: int = 0) -> None:
        """Compile it; `expected` is how many images it will be asked about, 0 if its weights change in between."""

        def forward(images: Any) -> Any:
            answer = network(tf.cast(images, tf.float32), training=False)
            return {"logit": answer["logit"] if isinstance(answer, dict) else answer}

        self._forward = _compiled(forward, tf.TensorSpec((None, *network.input_shape[1:]), dtype), expected)

    def logits(self, batches: Iterable[Any]) -> NDArray[np.float64]:
        """Return the logit of every image of batches uint8 `[b, S, S, 1]`: float64 `[n]`, computed in float32."""
        parts = [self._forward(images)["logit"][:, 0] for images in batches]
        return np.concatenate(parts).astype(np.float64)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return P(PNEUMONIA), `[n]`, of images uint8 `[n, S, S, 1]`.

        In float64, because a float32 sigmoid rounds to exactly 1 above a logit of 17.
        """
        probabilities: NDArray[np.float64] = expit(self.logits([images]))
        return probabilities


class OutputsFn:
    """Every output of an inference model as a function of images."""

    def __init__(self, model: keras.Model, *, expected: int = 0) -> None:
        """Compile it; `expected` is how many images it will be asked about."""
        signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
        self._forward = _compiled(lambda images: model(images, training=False), signature, expected)

    def __call__(self, images: NDArray[np.uint8]) -> Answers:
        """Return the outputs for images uint8 `[n, S, S, 1]`, n at least 1, each `[n, ...]`."""
        return self._forward(images)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return P(PNEUMONIA) alone, `[n]`."""
        return self(images)["probability"][:, 0].astype(np.float64)


def _compiled(forward: Callable[[Any], Any], signature: tf.TensorSpec, expected: int) -> Callable[[Any], Answers]:
    """Return a function from images `[n, ...]` by whatever scores `expected` of them fastest, conversion included."""
    compiled = tf.function(forward, input_signature=[signature])
    if expected * np.prod(signature.shape[1:]) < REPAID_PIXELS or tf.config.list_physical_devices("GPU"):
        return partial(_by_tensorflow, compiled)
    with stage("Converting the network to ONNX for scoring"):
        from pipeline.conversion.onnx_function import by_onnxruntime  # slow to import, and not always needed

        return by_onnxruntime(compiled, signature)


def _by_tensorflow(compiled: Callable[[Any], Any], images: Any) -> Answers:
    starts = range(0, len(images), BATCH)
    return joined([compiled(tf.convert_to_tensor(images[start : start + BATCH])) for start in starts])
