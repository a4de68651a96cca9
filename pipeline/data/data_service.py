"""Training records read and parsed by a tf.data service: one machine with disks and cores for many trainers.

A trainer sends its chain of the epoch, and the service sends back the batches. They are numbered, and the numbers are
checked: either the trainer gets the batches that it would have read itself, in the same order, or training ends.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from pneumo_tfds.program.errors import InputError

TIMEOUT = 5.0  # seconds for the service to answer at all; TensorFlow itself would retry for an hour


def served(chain: tf.data.Dataset, address: str) -> Iterator[Any]:
    """Let the service at `address`, HOST:PORT, run a chain of batches; yield the batches in the chain's order.

    The files of the chain must have the same paths on the machine of the service, or be in the cloud.

    Raises:
        InputError: the service does not answer, cannot read the files, or returns batches out of order.
    """
    flag = f"--data-service {address}"
    try:
        host, port = address.split(":")
        socket.create_connection((host, int(port)), TIMEOUT).close()
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
                f"{flag}: batch {int(number)} arrived instead of batch {expected}; give the dispatcher one worker, "
                "because each worker serves the whole epoch"
            )
        yield batch
