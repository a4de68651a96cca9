"""The part of a network that is trained: all of it, or its last layer on the features of a frozen backbone.

The backbone's features of an image never change if the pretrained weights before the last layer are frozen and there is
no augmentation. They are then computed once, and the last layer is trained on them in seconds.
"""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from pipeline.config import RunConfig
from pipeline.data.batches import evaluation_batches
from pipeline.data.split import MemorySplit, Split
from pipeline.devices.precision import Execution
from pipeline.networks import models
from pipeline.networks.forward_pass import BATCH
from pneumo_tfds.program.progress import track


class WholeNetwork:
    """All of the network that `config` names, trained on images."""

    dtype = tf.uint8
    """Of its inputs, as they are stored."""

    def __init__(self, config: RunConfig, image_size: int) -> None:
        self.config, self.image_size = config.model, image_size

    def inputs(self, split: Split) -> Split:
        """Return the split whose "images" this part is trained on."""
        return split

    def build(self, execution: Execution) -> keras.Model:
        """Return the model to train, in the precision of `execution`."""
        return models.build(self.config, self.image_size, execution.precision, fused=execution.device == "CPU")

    def float32_copy(self, trained: keras.Model) -> keras.Model:
        """Return a copy of the model in float32, the one that is evaluated and kept."""
        return models.float32_copy(trained, self.config)

    def complete(self, trained: keras.Model) -> keras.Model:
        """Return the whole network with the trained part in it."""
        return trained


class LastLayer(WholeNetwork):
    """The last layer, trained on the features of a frozen backbone."""

    dtype = tf.float32

    def __init__(self, config: RunConfig, image_size: int) -> None:
        super().__init__(config, image_size)
        self.network = models.build(config.model, image_size)
        self._pool, self._logit = self.network.get_layer(models.POOL), self.network.get_layer(models.LOGIT)

    def inputs(self, split: Split) -> Split:
        """Return a split whose "images" are features, float32 `[n, 1, 1, C]`, computed with a progress bar."""
        backbone = keras.Model(self.network.input, self._pool.output)
        spec = tf.TensorSpec((None, *self.network.input_shape[1:]), tf.uint8)
        ask = tf.function(lambda images: backbone(tf.cast(images, tf.float32), training=False), input_signature=[spec])
        batches = track(evaluation_batches(split, BATCH), "Features", -(-split.count // BATCH))
        values = np.concatenate([ask(images).numpy() for images, _ in batches])
        return MemorySplit(split.name, dataclasses.replace(split.examples, images=values[:, None, None, :]))

    def build(self, execution: Execution) -> keras.Model:
        """Return the model from features `[N, 1, 1, C]` to `logit` `[N, 1]`, with the network's own first weights."""
        features = keras.Input((1, 1, int(self._pool.output.shape[-1])), dtype="float32", name="features")
        x = layers.Dropout(self.config.dropout, name="dropout")(layers.Flatten(name="flatten")(features))
        penalty = self._logit.kernel_regularizer
        head = keras.Model(features, layers.Dense(1, kernel_regularizer=penalty, dtype="float32", name=models.LOGIT)(x))
        head.set_weights(self._logit.get_weights())
        return head

    def float32_copy(self, trained: keras.Model) -> keras.Model:
        """Return such a layer with new weights; it is float32 already."""
        return keras.models.clone_model(trained)

    def complete(self, trained: keras.Model) -> keras.Model:
        """Return the whole network with the trained layer in it."""
        self._logit.set_weights(trained.get_layer(models.LOGIT).get_weights())
        return self.network


def part_to_train(config: RunConfig, train: Split) -> WholeNetwork:
    """Return the part to train: the last layer, if the features of an image are the same in every epoch."""
    frozen = config.model.start != "none" and config.model.free_blocks == 0
    constant = frozen and not config.augment.augment and not config.fit.mixup
    part = LastLayer if constant and train.in_memory(config.data.cache) else WholeNetwork
    return part(config, train.image_size)
