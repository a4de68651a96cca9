"""Layers of a network on several devices: each computes some rows of a batch, and the result is that of one device.

Two kinds of layer depend on more than one row. Batch normalization takes its mean and variance over the batch: here
over all replicas. Dropout draws its mask by the position in the batch: here each replica draws the mask of the whole
batch and keeps its rows. Only the network that is trained has these layers; the float32 copy that is saved does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers


def replicated(network: keras.Model) -> keras.Model:
    """Return a copy of `network`, variables included, whose layers work on the batch of all replicas.

    Call it in the strategy's scope, so that every replica gets its own variables.
    """
    copy = keras.models.clone_model(network, clone_function=_over_replicas, recursive=True)
    for variable, original in zip(copy.variables, network.variables, strict=True):
        variable.assign(original.numpy())
    return copy


def _over_replicas(layer: Any) -> Any:
    config = layer.get_config()
    if isinstance(layer, layers.BatchNormalization):  # the fused kernel of one device cannot wait for the others
        return layers.BatchNormalization.from_config({**config, "synchronized": True})
    if isinstance(layer, layers.Dropout):
        return SharedDropout.from_config(config)
    return type(layer).from_config(config)


class SharedDropout(layers.Dropout):
    """Dropout by one mask for the whole batch, of which each replica applies its rows, as on one device."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Apply the mask to this replica's rows `[n, ...]` of a batch of `replicas * n`."""
        if not training or not self.rate:
            return inputs
        context, rows = tf.distribute.get_replica_context(), tf.shape(inputs)[0]
        whole = tf.concat([[rows * context.num_replicas_in_sync], tf.shape(inputs)[1:]], 0)
        mask = keras.random.dropout(tf.ones(whole, inputs.dtype), self.rate, seed=self.seed_generator)
        first = context.replica_id_in_sync_group * rows
        return inputs * mask[first : first + rows]


def finite_for_all(gradients: Sequence[Any]) -> list[Any]:
    """Return the gradients, all NaN on every replica if one of them is infinite or NaN on any replica.

    Keras's LossScaleOptimizer decides on each replica separately whether to skip the step, but all must do the same.
    """
    mine = tf.add_n([tf.reduce_sum(tf.cast(gradient, tf.float32) * 0) for gradient in gradients])  # 0, or NaN
    poison = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, mine)
    return [gradient + tf.cast(poison, gradient.dtype) for gradient in gradients]
