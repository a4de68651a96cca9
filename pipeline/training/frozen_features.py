"""A frozen backbone sees each image once: its features are kept, and the last layer learns from them in seconds.

That holds where nothing before the last layer changes from step to step: pretrained weights of which no block learns,
and no augmentation. Elsewhere the whole network is trained, as `pipeline.training.fit` does by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from pipeline.config import RunConfig
from pipeline.data.split import Split, evaluation_batches
from pipeline.networks import models
from pipeline.networks.forward_pass import BATCH
from pneumo_tfds.program.progress import track


def applies(config: RunConfig) -> bool:
    """Say whether the features of an image are the same in every epoch."""
    frozen = config.model.start != "none" and config.model.free_blocks == 0
    return frozen and not config.augment.augment and not config.fit.mixup


class Head:
    """A network with a frozen backbone, taken apart: what gives the features, and what learns from them."""

    def __init__(self, config: RunConfig, image_size: int) -> None:
        self.network = models.build(config.model, image_size)
        self._pool, self._logit = self.network.get_layer(models.POOL), self.network.get_layer(models.LOGIT)
        self._dropout = config.model.dropout

    def features(self, split: Split, description: str) -> Split:
        """Give a split whose images are features, float32 `[n, 1, 1, C]`, instead of uint8 `[n, S, S, 1]`."""
        body = keras.Model(self.network.input, self._pool.output)
        spec = tf.TensorSpec((None, *self.network.input_shape[1:]), tf.uint8)
        ask = tf.function(lambda images: body(tf.cast(images, tf.float32), training=False), input_signature=[spec])
        batches: Iterable[Any] = track(evaluation_batches(split, BATCH), description, -(-split.count // BATCH))
        values: NDArray[Any] = np.concatenate([ask(images).numpy() for images, _ in batches])
        return Split.of(split.name, dataclasses.replace(split.examples, images=values[:, None, None, :]))

    def build(self) -> keras.Model:
        """Give the part that learns, from features `[N, 1, 1, C]` to `logit` `[N, 1]`, as the network begins."""
        seen = keras.Input((1, 1, int(self._pool.output.shape[-1])), dtype="float32", name="features")
        x = layers.Dropout(self._dropout, name="dropout")(layers.Flatten(name="flatten")(seen))
        penalty = self._logit.kernel_regularizer
        head = keras.Model(seen, layers.Dense(1, kernel_regularizer=penalty, dtype="float32", name=models.LOGIT)(x))
        head.set_weights(self._logit.get_weights())
        return head

    def assembled(self, head: keras.Model) -> keras.Model:
        """Give the whole network with a last layer that has learned."""
        self._logit.set_weights(head.get_layer(models.LOGIT).get_weights())
        return self.network
