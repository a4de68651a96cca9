"""The names of the three framings: how a picture of any aspect ratio becomes a square.

The names alone, for settings, dataset configs and metadata; `pneumo_tfds.decode.framing` applies them to pixels.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

Framing = Literal["squeeze", "crop", "pad"]
"""`squeeze`: the whole picture, its aspect ratio not kept. `crop`: the centred square of the shorter side. `pad`: the
whole picture, its aspect ratio kept, centred, and black beside it."""

FRAMINGS: tuple[Framing, ...] = get_args(Framing)

DEFAULT_FRAMING: Framing = "squeeze"
"""Also the framing of datasets, runs and model files that name none: they were made before there was a choice."""


def as_framing(name: Any) -> Framing:
    """Return the framing of this name, read from a file; raise ValueError if there is none."""
    if name not in FRAMINGS:
        raise ValueError(f"{name!r:.40} is not one of the framings {', '.join(FRAMINGS)}")
    return FRAMINGS[FRAMINGS.index(name)]


def config_suffix(framing: Framing) -> str:
    """Return what a framing adds to the name of a dataset's config: `gray_224` is squeeze, `gray_224_pad` is pad."""
    return "" if framing == DEFAULT_FRAMING else f"_{framing}"
