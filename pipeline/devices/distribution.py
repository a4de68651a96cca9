"""The devices that train one network: one, several of this machine, or those of several machines.

A batch is the same whatever computes it: the epoch's order and the augmentation are drawn for the whole of it, and
each replica takes its rows of both. Gradients are summed over all replicas, and batch normalization and dropout see
the whole batch (`replicated.py`), so that the loss follows the curve that one device would give, to rounding.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.config import FitConfig
from pipeline.devices.replicated_layers import replicated
from pipeline.devices.tf_config import Cluster, read_cluster
from pneumo_tfds.program.errors import InputError


@dataclass(frozen=True)
class Devices:
    """What one process needs to know of the devices that train with it. As it is made by default: one device."""

    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)
    cluster: Cluster = field(default_factory=Cluster)

    @property
    def replicas(self) -> int:
        """Copies of the network, on all machines together."""
        return int(self.strategy.num_replicas_in_sync)

    def replicated(self, network: keras.Model) -> keras.Model:
        """Give the network to train: the one given, or on several devices its replicas. Call it in the scope."""
        return network if self.replicas == 1 else replicated(network)

    def rows(self, batch_size: int) -> slice:
        """Say which rows of a batch this process computes."""
        mine = batch_size // self.cluster.workers
        return slice(self.cluster.index * mine, (self.cluster.index + 1) * mine)

    def shares(self, *values: Any) -> tuple[Any, ...]:
        """Divide what belongs to this process's rows, `[b, ...]` each, among its replicas."""
        if self.replicas == 1:
            return values
        local = self.replicas // self.cluster.workers

        def divided(value: Any) -> Any:
            rows = len(value) // local

            def share(context: Any) -> Any:
                first = context.replica_id_in_sync_group % local * rows
                return tf.convert_to_tensor(value[first : first + rows])

            return self.strategy.experimental_distribute_values_from_function(share)

        return tuple(map(divided, values))

    def sum(self, values: Any) -> Any:
        """Add up what `strategy.run` gave for each replica, on all machines."""
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    def from_all(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give the values `[n]` of every worker, `[workers, n]`, to every worker."""
        if self.cluster.workers == 1:
            return values[None]
        table = np.zeros((self.cluster.workers, *values.shape), values.dtype)
        nothing = tf.constant(table)
        table[self.cluster.index] = values
        mine, local = tf.constant(table), self.replicas // self.cluster.workers

        def share(context: Any) -> Any:
            return nothing if context.replica_id_in_sync_group % local else mine

        gathered: NDArray[Any] = self.sum(self.strategy.experimental_distribute_values_from_function(share)).numpy()
        return gathered

    def from_chief(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give the chief's values to every worker, so that all decide alike."""
        chief: NDArray[Any] = self.from_all(values)[0]
        return chief

    def agree(self, what: str, value: str, advice: str) -> None:
        """Check that every worker has the same `value`: if they differed, one would wait for another for ever.

        Raises:
            InputError: on every worker, if one of them has another.
        """
        digests = self.from_all(np.array([zlib.crc32(value.encode())]))[:, 0]
        others = np.flatnonzero(digests != digests[0])
        if len(others):
            raise InputError(f"worker {others[0]} has another {what} than the chief; {advice}")


def connect(config: FitConfig) -> Devices:
    """Get hold of `config.devices` devices, and of the other machines that TF_CONFIG names.

    Call it before TensorFlow computes anything: what a CPU is divided into, who the others are, and whether only
    deterministic kernels are used, is settled then.

    Raises:
        InputError: this machine has fewer devices, or the batch cannot be divided evenly among all.
    """
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    devices = _connected(config.devices)
    if config.batch_size % devices.replicas:
        raise InputError(
            f"--batch-size is {config.batch_size}, which {devices.replicas} devices cannot share evenly; "
            f"give a multiple of {devices.replicas}"
        )
    return devices


@functools.cache
def _connected(count: int) -> Devices:
    cluster = read_cluster()
    if count == 1 and cluster.workers == 1:
        return Devices()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and count > len(gpus):
        raise InputError(f"--devices is {count}, but this machine has {len(gpus)}")
    if cluster.workers > 1:
        if not gpus and count > 1:
            raise InputError(f"--devices is {count}, but of several machines without GPUs each is one device")
        tf.config.set_visible_devices(gpus[:count], "GPU")
        return Devices(tf.distribute.MultiWorkerMirroredStrategy(), cluster)
    if not gpus:
        cpu = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError as error:
            raise InputError(f"--devices is {count}, but TensorFlow computes on the whole CPU already") from error
    kind = "GPU" if gpus else "CPU"
    return Devices(tf.distribute.MirroredStrategy([f"{kind}:{number}" for number in range(count)]), cluster)
