"""How many threads TensorFlow computes with: environment variables that it reads once, when it starts."""

from __future__ import annotations

VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def variables(threads: int) -> dict[str, str]:
    """Return the variables that give each of TensorFlow's two pools so many threads."""
    return dict.fromkeys(VARIABLES, str(threads))
