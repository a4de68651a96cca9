"""Call GDCM in a process of its own.

GDCM ends the whole process on some damaged frames (a segmentation fault, an abort), and tells of other damage only on
standard error. So a damaged file costs a small process here, and not a build of hours. Such a process is kept for the
next frame; as many run as threads decode at the same time.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TIMEOUT = 120
"""Seconds for one frame. A 3-megapixel frame takes a tenth of a second."""

_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG file")
"""How libjpeg's messages about damage start; it prints others while GDCM looks for the right decoder."""

_WORKER = Path(__file__).with_name("gdcm_worker.py")

_idle: dict[int, list[subprocess.Popen[bytes]]] = {}
"""Processes that wait for a frame, by the process that started them, so that a fork does not use its parent's."""


def decompress(frame: bytes, description: dict[str, Any]) -> npt.NDArray[Any]:
    """Decompress one frame.

    Args:
        frame: the compressed bytes.
        description: `syntax`, the transfer syntax, and the elements of the data set that describe the pixels.

    Returns:
        Integers `[height, width]` or `[height, width, 3]`.

    Raises:
        ValueError: the frame is damaged.
    """
    process = _waiting() or _start()
    limit = threading.Timer(TIMEOUT, process.kill)
    limit.start()
    try:
        values = _ask(process, frame, description)
    except BaseException:
        _stop(process)
        raise
    finally:
        limit.cancel()
    _idle[os.getpid()].append(process)
    if values is None:
        raise ValueError("GDCM cannot decode the frame")
    return values


def _waiting() -> subprocess.Popen[bytes] | None:
    """Return a process that waits for a frame, if there is one; forget those that were ended from outside."""
    idle = _idle.setdefault(os.getpid(), [])
    while idle:
        with suppress(IndexError):  # another thread was faster
            process = idle.pop()
            if process.poll() is None:
                return process
    return None


def _ask(process: subprocess.Popen[bytes], frame: bytes, description: dict[str, Any]) -> npt.NDArray[Any] | None:
    """Send a frame and read the values; None if it is damaged.

    Raises:
        ValueError: the process ended.
    """
    requests, answers = process.stdin, process.stdout
    if requests is None or answers is None:
        raise ValueError("GDCM's process has no pipes")
    try:
        requests.write(json.dumps(description | {"length": len(frame)}).encode() + b"\n" + frame)
        requests.flush()
    except OSError as error:
        raise ValueError("GDCM's process has ended") from error
    line = answers.readline()
    if not line:
        raise ValueError("GDCM has ended its process")
    answer = json.loads(line)
    if answer["dtype"] is None:
        return None
    kind = np.dtype(answer["dtype"])
    content = answers.read(kind.itemsize * math.prod(answer["shape"]))
    damaged = any(text.startswith(_DAMAGE) for text in answer["lines"])
    return None if damaged else np.frombuffer(content, kind).reshape(answer["shape"])


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", str(_WORKER)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


@atexit.register
def _stop_all() -> None:
    for process in _idle.pop(os.getpid(), []):
        _stop(process)
