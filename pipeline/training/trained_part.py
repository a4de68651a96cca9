"""The part of a network that is trained: all of it, what sees the lungs, or its last layer.

What comes before that part is computed once for each image where it never changes: the crops of the lungs, or, if the
pretrained weights before the last layer are frozen and there is no augmentation, the features of the backbone.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from pipeline.config import RunConfig
from pipeline.data.batches import evaluation_batches
from pipeline.data.split import MemorySplit, Split
from pipeline.devices.precision import Execution
from pipeline.networks import lungs, models
from pipeline.networks.forward_pass import BATCH
from pipeline.networks.inference_model import LOGIT, POOL
from pneumo_tfds.program.progress import track

ROOM = 1.3
"""Side of the crops to be framed at random, of the side that the network sees; 1.3 is the default --zoom."""


class WholeNetwork:
    """All of the network that `config` names, trained on images."""

    dtype = tf.uint8
    """Type of its inputs, as they are stored."""

    def __init__(self, config: RunConfig, image_size: int) -> None:
        self.config, self.image_size = config.model, image_size

    def inputs(self, split: Split, *, room: bool = False) -> Split:
        """Return the split whose "images" this part is trained on, with `room` for random framing around them."""
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


class LungCrops(WholeNetwork):
    """All of the network that sees the lungs, trained on crops."""

    def __init__(self, config: RunConfig, image_size: int) -> None:
        super().__init__(config, lungs.side_of(image_size))
        self.config = dataclasses.replace(config.model, crop="none")
        self._whole, self._size = config.model, image_size

    @cached_property
    def network(self) -> keras.Model:
        """The whole network, which finds the lungs."""
        return models.build(self._whole, self._size)

    def inputs(self, split: Split, *, room: bool = False) -> Split:
        """Return a split of crops, uint8 `[n, S, S, 1]`, made with a progress bar."""
        image, box = self.network.input, self.network.get_layer(lungs.BOX).output
        side = round(ROOM * self.image_size) if room else self.image_size
        box = lungs.with_margin(box, (side / self.image_size - 1) / 2) if room else box
        # Framing at random interpolates once more, so what is framed is not to be smoothed twice.
        seen = lungs.crop(image, box, side, reach=1 if room else lungs.REACH)
        crop = keras.Model(image, keras.ops.cast(keras.ops.round(seen), "uint8"))
        crops = _computed(crop, split, f"Finding lungs, {split.name}")
        return MemorySplit(split.name, dataclasses.replace(split.examples, images=crops))

    def complete(self, trained: keras.Model) -> keras.Model:
        """Return the whole network with the trained part in it."""
        for layer in trained.layers:
            self.network.get_layer(layer.name).set_weights(layer.get_weights())
        return self.network


class LastLayer(WholeNetwork):
    """The last layer, trained on the features of a frozen backbone."""

    dtype = tf.float32

    def __init__(self, config: RunConfig, image_size: int) -> None:
        super().__init__(config, image_size)
        self.network = models.build(config.model, image_size)
        self._pool, self._logit = self.network.get_layer(POOL), self.network.get_layer(LOGIT)

    def inputs(self, split: Split, *, room: bool = False) -> Split:
        """Return a split whose "images" are features, float32 `[n, 1, 1, C]`, computed with a progress bar."""
        backbone = keras.Model(self.network.input, self._pool.output)
        values = _computed(backbone, split, "Features")
        return MemorySplit(split.name, dataclasses.replace(split.examples, images=values[:, None, None, :]))

    def build(self, execution: Execution) -> keras.Model:
        """Return the model from features `[N, 1, 1, C]` to `logit` `[N, heads]`, with the network's first weights."""
        features = keras.Input((1, 1, int(self._pool.output.shape[-1])), dtype="float32", name="features")
        x = layers.Dropout(self.config.dropout, name="dropout")(layers.Flatten(name="flatten")(features))
        penalty = self._logit.kernel_regularizer
        last = layers.Dense(self.config.heads, kernel_regularizer=penalty, dtype="float32", name=LOGIT)
        head = keras.Model(features, last(x))
        head.set_weights(self._logit.get_weights())
        return head

    def float32_copy(self, trained: keras.Model) -> keras.Model:
        """Return such a layer with new weights; it is float32 already."""
        return keras.models.clone_model(trained)

    def complete(self, trained: keras.Model) -> keras.Model:
        """Return the whole network with the trained layer in it."""
        self._logit.set_weights(trained.get_layer(LOGIT).get_weights())
        return self.network


def _computed(model: keras.Model, split: Split, description: str) -> NDArray[Any]:
    """Return the output of a model for every image of a split, `[n, ...]`, with a progress bar."""
    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
    ask = tf.function(lambda images: model(tf.cast(images, tf.float32), training=False), input_signature=[spec])
    batches = track(evaluation_batches(split, BATCH), description, -(-split.count // BATCH))
    return np.concatenate([ask(images).numpy() for images, _ in batches])


def part_to_train(config: RunConfig, train: Split) -> WholeNetwork:
    """Return the part to train: the last layer, if the features of an image are the same in every epoch.

    Of images that are not in memory nothing is kept, so the whole network is trained on them.
    """
    frozen = config.model.start != "none" and config.model.free_blocks == 0
    constant = frozen and not config.augment.augment and not config.fit.mixup
    if not train.in_memory(config.data.cache):
        return WholeNetwork(config, train.image_size)
    return LastLayer(config, train.image_size) if constant else network_part(config, train.image_size)


def network_part(config: RunConfig, image_size: int) -> WholeNetwork:
    """Return the part to train of images in memory, if it is not the last layer alone."""
    return (LungCrops if config.model.crops else WholeNetwork)(config, image_size)
