"""The role of this process in multi-worker training, read from TF_CONFIG.

Without TensorFlow, because a process has to know what it may write before it imports that.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS

VARIABLE = "TF_CONFIG"
EXAMPLE = '{"cluster": {"worker": ["HOST1:PORT", "HOST2:PORT"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """The processes that train one network together."""

    workers: int = 1
    """Number of processes, including the chief."""
    index: int = 0
    """Number of this process, from 0."""

    @property
    def chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.index == 0


def read_cluster() -> Cluster:
    """Read TF_CONFIG. A process without it trains alone.

    Raises:
        InputError: TF_CONFIG is not in the format of TensorFlow's multi-worker training.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return Cluster()
    try:
        content = json.loads(text)
        chiefs, others = (list(content["cluster"].get(kind, ())) for kind in ("chief", "worker"))
        kind, index = str(content["task"]["type"]), int(content["task"]["index"])
    except (*JSON_SHAPE_ERRORS, RecursionError) as error:
        raise InputError(
            f"{VARIABLE} cannot be read ({type(error).__name__}: {error}); the format is {EXAMPLE}"
        ) from error
    members = {"chief": chiefs, "worker": others}.get(kind, [])
    if not 0 <= index < len(members) or len(chiefs) > 1:
        raise InputError(
            f"{VARIABLE} has no {kind} {index}: its cluster lists {len(chiefs)} chief and {len(others)} workers"
        )
    return Cluster(len(chiefs) + len(others), index if kind == "chief" else len(chiefs) + index)
