"""KerasTuner's environment variables: whether this process is a search's chief, one of its workers, or alone."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Literal

from pneumo_tfds.errors import InputError

TUNER, ADDRESS, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
PATIENCE = "PNEUMO_CHIEF_PATIENCE"
PATIENCE_SECONDS = 300.0  # pods and jobs of one search may start minutes apart

Role = Literal["alone", "chief", "worker"]


def role(environment: Mapping[str, str] = os.environ) -> Role:
    """Say what the variables make of this process; `chief` in the id makes the chief, as KerasTuner has it.

    Raises:
        InputError: only some of the three are set.
    """
    if ADDRESS not in environment:
        return "alone"
    if missing := [name for name in (PORT, TUNER) if not environment.get(name)]:
        raise InputError(f"{ADDRESS} is set but {' and '.join(missing)} not; set all three, or none to search alone")
    if not environment[PORT].isdigit() or not 0 < int(environment[PORT]) < 65536:
        raise InputError(f"{PORT} is {environment[PORT]!r}; it must be a port number from 1 to 65535")
    return "chief" if "chief" in environment[TUNER] else "worker"


def environment(tuner: str, port: int, address: str = "127.0.0.1") -> dict[str, str]:
    """Give the variables of one process."""
    return {TUNER: tuner, ADDRESS: address, PORT: str(port)}


def free_port() -> int:
    """Give a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port() -> None:
    """Check that the chief can listen. gRPC itself would share the port with another chief and mix their trials.

    Raises:
        InputError: somebody else does, or the address is not this machine's.
    """
    address, port = os.environ[ADDRESS], int(os.environ[PORT])
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            probe.listen()
    except OSError as error:
        raise InputError(
            f"the chief cannot listen on {address}:{port} ({error.strerror}); choose another {PORT} or {ADDRESS}"
        ) from error


def await_chief() -> None:
    """Wait until the chief answers, up to `PNEUMO_CHIEF_PATIENCE` seconds (300 unless set).

    Raises:
        InputError: it does not.
    """
    address, port = os.environ[ADDRESS], int(os.environ[PORT])
    patience = float(os.environ.get(PATIENCE, PATIENCE_SECONDS))
    end = time.monotonic() + patience
    while True:
        try:
            socket.create_connection((address, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise InputError(
                    f"no chief answers at {address}:{port} after {patience:g} s ({error.strerror or error}); "
                    f"start it first, or check {ADDRESS} and {PORT}"
                ) from error
        time.sleep(min(1.0, patience / 10))
