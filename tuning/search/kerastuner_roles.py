"""KerasTuner's environment variables: whether this process is the chief of a search, a worker, or searches alone."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Literal

from pneumo_tfds.program.errors import InputError, reason_of

TUNER, ADDRESS, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
CHIEF_PATIENCE, WORKER_PATIENCE = "PNEUMO_CHIEF_PATIENCE", "PNEUMO_WORKER_PATIENCE"
# Pods and jobs of one search may start minutes apart. A worker asks every few seconds, but loading TensorFlow or
# compiling can delay its heartbeat on a busy machine.
SECONDS = {CHIEF_PATIENCE: 300.0, WORKER_PATIENCE: 120.0}
HEARTBEAT_SECONDS = 10.0

Role = Literal["alone", "chief", "worker"]


def role(environment: Mapping[str, str] = os.environ) -> Role:
    """Return the role of this process; as in KerasTuner, an id that contains `chief` makes it the chief.

    Raises:
        InputError: only some of the three variables are set, or the port is not valid.
    """
    if ADDRESS not in environment:
        return "alone"
    if missing := [name for name in (PORT, TUNER) if not environment.get(name)]:
        raise InputError(f"{ADDRESS} is set but {' and '.join(missing)} not; set all three, or none to search alone")
    if not environment[PORT].isdigit() or not 0 < int(environment[PORT]) < 65536:
        raise InputError(f"{PORT} is {environment[PORT]!r}; it must be a port number from 1 to 65535")
    return "chief" if "chief" in environment[TUNER] else "worker"


def environment(tuner: str, port: int) -> dict[str, str]:
    """Return the variables that make a process of this machine the tuner of that name."""
    return {TUNER: tuner, ADDRESS: "127.0.0.1", PORT: str(port)}


@contextmanager
def as_chief(port: int) -> Iterator[None]:
    """Make this process a chief on `port` for the duration of the block."""
    variables = environment("chief", port)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


def free_port() -> int:
    """Return a port of the loopback address that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port() -> None:
    """Check that the chief can listen. gRPC itself would share the port with another chief and mix their trials.

    Raises:
        InputError: another process listens there, or the address is not this machine's.
    """
    address, port = os.environ[ADDRESS], int(os.environ[PORT])
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            probe.listen()
    except OSError as error:
        raise InputError(
            f"the chief cannot listen on {address}:{port} ({reason_of(error)}); choose another {PORT} or {ADDRESS}"
        ) from error


def patience(name: str) -> float:
    """Return how many seconds to wait for the chief (`CHIEF_PATIENCE`) or for a worker (`WORKER_PATIENCE`).

    Raises:
        InputError: the variable of that name is not a positive number.
    """
    text = os.environ.get(name, str(SECONDS[name]))
    with suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise InputError(f"{name} is {text!r}; it must be a number of seconds above 0")


def heartbeat_seconds() -> float:
    """Return the time between two heartbeats of a worker."""
    return min(HEARTBEAT_SECONDS, patience(WORKER_PATIENCE) / 4)


def chief_unreachable() -> InputError:
    """Return the error of a worker whose chief stopped answering."""
    return InputError(
        f"the chief at {os.environ[ADDRESS]}:{os.environ[PORT]} has not answered for {patience(CHIEF_PATIENCE):g} s; "
        "start it again, then its workers: the search resumes where it stopped"
    )


def await_chief() -> None:
    """Wait until the chief answers, up to `PNEUMO_CHIEF_PATIENCE` seconds (300 unless set).

    Raises:
        InputError: it does not.
    """
    address, port, seconds = os.environ[ADDRESS], int(os.environ[PORT]), patience(CHIEF_PATIENCE)
    end = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection((address, port), timeout=5).close()
        except OSError as error:
            if time.monotonic() > end:
                raise InputError(
                    f"no chief answers at {address}:{port} after {seconds:g} s ({reason_of(error)}); "
                    f"start it first, or check {ADDRESS} and {PORT}"
                ) from error
        time.sleep(min(1.0, seconds / 10))
