"""Images no X-ray looks like but that every copy of a model must still answer alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EDGES = ("edge-black", "edge-white", "edge-grey", "edge-noise", "edge-ramp", "edge-checkerboard")


def edge_images(side: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """The images that `EDGES` names, uint8 [6, S, S, 1]: flat ones, uniform noise, a ramp, a one-pixel checkerboard."""
    flat = [np.full((side, side), level, np.uint8) for level in (0, 255, 128)]
    noise = np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, side).astype(np.uint8), (side, side))
    row, column = np.indices((side, side))
    board = ((row + column) % 2 * 255).astype(np.uint8)
    return np.stack([*flat, noise, ramp, board])[..., np.newaxis]
