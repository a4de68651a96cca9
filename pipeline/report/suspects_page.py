"""The page of images whose label is probably wrong, `suspects.html`, with what lies near each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.report.report_tables import FOR_TEMPLATES, number, percent
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.files import write_text
from pneumo_tfds.program.html_page import jpeg_uri, render

MOST = 300
"""Suspects that are shown; `suspects.csv` has all."""
COPIES = 3
"""Near-identical images that are shown of each."""
QUALITY = 85
USABLE = 0.7
"""AUROC out of fold below which the networks are no guide to labels: fair discrimination by convention."""


@dataclass(frozen=True, eq=False)
class Neighbour:
    """An image with its name and label."""

    name: str
    label: str
    pixels: NDArray[np.uint8]
    """`[S, S]`"""


@dataclass(frozen=True, eq=False)
class Suspect:
    """An image whose label is probably wrong."""

    image: Neighbour
    suggested: str
    """The other class."""
    of_label: float
    """Probability of its label, 0 to 1, by a network that has not seen its patient."""
    neighbours: Sequence[Neighbour]
    """Images of other patients that look alike to the network, the nearest first."""
    copies: Sequence[Neighbour]
    """Near-identical images with the other label."""


def write_page(run: RunFolder, suspects: Sequence[Suspect], images: int, auroc: float) -> None:
    """Write `suspects.html`, of the suspects among so many `images`, most suspicious first; `auroc` is out of fold."""
    rows = [
        {
            "image": _shown(one.image),
            "suggested": one.suggested,
            "of_label": percent(one.of_label),
            "neighbours": [_shown(other) for other in one.neighbours],
            "agree": sum(other.label == one.suggested for other in one.neighbours),
            "copies": [_shown(other) for other in one.copies[:COPIES]],
        }
        for one in suspects[:MOST]
    ]
    page = render(
        "pipeline.report",
        "suspects.html",
        name=run.path.resolve().name,
        rows=rows,
        count=len(suspects),
        images=images,
        auroc=number(auroc),
        useless=auroc < USABLE,
        table=run.suspects.name,
        **FOR_TEMPLATES,
    )
    write_text(run.suspects_page, page)


def _shown(image: Neighbour) -> dict[str, Any]:
    return {"name": image.name, "label": image.label, "data": jpeg_uri(image.pixels, QUALITY)}
