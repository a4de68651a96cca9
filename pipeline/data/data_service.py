"""Training records read and parsed by a tf.data service: one machine with disks and cores for many trainers.

A trainer sends its chain of the epoch, and the service sends back the batches. Each is numbered and the numbers are
checked, so that what arrives is what the trainer would have read itself, in that order, or training ends.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from pneumo_tfds.program.errors import InputError

PATIENCE = 5.0  # seconds for the service to answer at all; TensorFlow itself would ask again for an hour


def served(chain: tf.data.Dataset, address: str) -> Iterator[Any]:
    """Let the service at `address`, HOST:PORT, run a chain of batches; give the batches in the chain's order.

    The files of the chain must have the same paths on the machine of the service, or be in the cloud.

    Raises:
        InputError: nothing answers there, it cannot read the files, or its batches are not in order.
    """
    flag = f"--data-service {address}"
    try:
        host, port = address.split(":")
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{flag}: nothing answers there ({error}); start the service first (docs/how-to/many-machines.md)"
        ) from error
    service = tf.data.experimental.service
    remote = chain.enumerate().apply(
        service.distribute(service.ShardingPolicy.OFF, f"grpc://{address}", max_outstanding_requests=4)
    )
    for expected, (number, batch) in enumerate(remote.prefetch(tf.data.AUTOTUNE)):
        if int(number) != expected:
            raise InputError(
                f"{flag}: batch {int(number)} came where {expected} was due; give the dispatcher one worker, "
                "because each worker serves the whole epoch"
            )
        yield batch
