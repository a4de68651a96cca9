"""Answers to many images, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from pneumo_tfds.program.progress import track

Answer = Callable[[npt.NDArray[np.uint8]], Mapping[str, npt.NDArray[np.float32]]]
"""From a uint8 batch `[N, S, S, 1]` to the outputs by name, each `[N, ...]`."""


def in_batches(
    answer: Answer, images: npt.NDArray[np.uint8], size: int, doing: str = ""
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the outputs for all images, at least one; with a progress bar if `doing` says what is done."""
    starts = range(0, len(images), size)
    parts = [answer(images[start : start + size]) for start in (track(starts, doing) if doing else starts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
