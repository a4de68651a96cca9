"""The devices that train one network: one, several of this machine, or those of several machines.

A batch is the same whatever computes it: the order of the epoch and the random numbers of the augmentation are drawn
for all of it, and each replica takes its rows of both. Gradients are summed over all replicas, and batch normalization
and dropout work on the whole batch (`replicated_layers`). The loss therefore follows that of one device, to rounding.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.config import FitConfig
from pipeline.devices.tf_config import Cluster, read_cluster
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted


@dataclass(frozen=True)
class Devices:
    """The devices of a training, as one of its processes sees them. The default is a single device."""

    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)
    cluster: Cluster = field(default_factory=Cluster)

    @property
    def replicas(self) -> int:
        """Copies of the network, on all machines together."""
        return int(self.strategy.num_replicas_in_sync)

    def rows(self, batch_size: int) -> slice:
        """Return the rows of a batch that this process computes."""
        mine = batch_size // self.cluster.workers
        return slice(self.cluster.index * mine, (self.cluster.index + 1) * mine)

    def split_among_replicas(self, *values: Any) -> tuple[Any, ...]:
        """Split values `[b, ...]`, of the rows of this process, among its replicas."""
        if self.replicas == 1:
            return values
        local = self.replicas // self.cluster.workers

        def rows_of_replica(value: Any, context: Any) -> Any:
            rows = len(value) // local
            first = context.replica_id_in_sync_group % local * rows
            return tf.convert_to_tensor(value[first : first + rows])

        distribute = self.strategy.experimental_distribute_values_from_function
        return tuple(distribute(functools.partial(rows_of_replica, value)) for value in values)

    def all_gather(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values `[n]` of every worker, `[workers, n]`, on every worker."""
        if self.cluster.workers == 1:
            return values[None]
        # Every replica of a worker brings the worker's values; the first one's are taken.
        mine = tf.constant(values[None])
        tables = self.strategy.experimental_distribute_values_from_function(lambda context: mine)
        local = self.replicas // self.cluster.workers
        gathered: NDArray[Any] = self.strategy.gather(tables, axis=0).numpy()[::local]
        return gathered

    def broadcast_from_chief(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the chief's values on every worker, so that all make the same decisions."""
        chief: NDArray[Any] = self.all_gather(values)[0]
        return chief

    def check_same_on_all_workers(self, what: str, value: str, advice: str) -> None:
        """Check that every worker has the same `value`: otherwise one worker would wait forever for another.

        Raises:
            InputError: on every worker, if one of them has another value.
        """
        digests = self.all_gather(np.array([zlib.crc32(value.encode())]))[:, 0]
        others = np.flatnonzero(digests != digests[0])
        if len(others):
            raise InputError(f"worker {others[0]} has another {what} than the chief; {advice}")


def connect(config: FitConfig) -> Devices:
    """Return `config.devices` devices, connected with the other machines that TF_CONFIG names.

    Call it before TensorFlow computes anything: the division of a CPU, the connection to other machines and the use of
    deterministic kernels cannot be changed afterwards.

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
        raise InputError(f"--devices is {count}, but this machine has {counted(len(gpus), 'GPU')}")
    if cluster.workers > 1:
        if not gpus and count > 1:
            raise InputError(f"--devices is {count}, but of several machines, each without a GPU is 1 device")
        tf.config.set_visible_devices(gpus[:count], "GPU")
        return Devices(tf.distribute.MultiWorkerMirroredStrategy(), cluster)
    if not gpus:
        cpu = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError as error:
            raise InputError(f"--devices is {count}, but TensorFlow already uses the CPU as one device") from error
    kind = "GPU" if gpus else "CPU"
    return Devices(tf.distribute.MirroredStrategy([f"{kind}:{number}" for number in range(count)]), cluster)
