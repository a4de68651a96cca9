"""Try again where a disk or a network fails for a moment."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from pneumo_tfds.program.errors import FAILING

PASSING = FAILING | {errno.EAGAIN, errno.EINTR}
"""Errors of disks and networks that may be gone a moment later."""

PAUSES = (0.1, 0.5, 2.0)
"""Seconds before each further try."""

Result = TypeVar("Result")


def try_again(work: Callable[[], Result]) -> Result:
    """Return what `work` returns; call it again after a pause if the disk or the network failed.

    Raises:
        OSError: it fails for another reason, or still fails after the last pause.
    """
    for pause in PAUSES:
        try:
            return work()
        except OSError as error:
            if error.errno not in PASSING:
                raise
            time.sleep(pause)
    return work()
