"""Which of several machines this one is. TensorFlow is told by the variable TF_CONFIG, and so are we.

No TensorFlow here: what a process may write is known before it is imported.
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
    """How many there are, the chief among them."""
    index: int = 0
    """Which one this is, from 0."""

    @property
    def chief(self) -> bool:
        """Whether this is the one that writes the run folder."""
        return self.index == 0


def read_cluster() -> Cluster:
    """Read TF_CONFIG; a process without it is alone.

    Raises:
        InputError: it is not what TensorFlow's multi-worker training expects.
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
            f"{VARIABLE} cannot be read ({type(error).__name__}: {error}); it looks like {EXAMPLE}"
        ) from error
    members = {"chief": chiefs, "worker": others}.get(kind, [])
    if not 0 <= index < len(members) or len(chiefs) > 1:
        raise InputError(f"{VARIABLE} has no {kind} {index} among {len(chiefs)} chief and {len(others)} workers")
    return Cluster(len(chiefs) + len(others), index if kind == "chief" else len(chiefs) + index)
