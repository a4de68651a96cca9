"""Style of all plots: size, font, colours that colour-blind readers can distinguish, and how they are saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pneumo_tfds.program.files import replacing

# Okabe and Ito, Color Universal Design, 2008.
NORMAL, PNEUMONIA, VIRUS, GREEN, GREY, INK = "#0072B2", "#D55E00", "#E69F00", "#009E73", "#8C8C8C", "#222222"
BY_CLASS = (NORMAL, PNEUMONIA)
BY_KIND = {"normal": NORMAL, "bacteria": PNEUMONIA, "virus": VIRUS, "unknown": GREY}

DOTS_PER_INCH = 160
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "legend.facecolor": "white",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 9.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",
}


@contextmanager
def canvas(path: Path, width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> Iterator[Any]:
    """Yield the axes of a figure (one, or an array [rows, columns]); save it to `path` as PNG if the block succeeds.

    The PNG is replaced at once, never half written. Sizes are in inches, at 160 dots an inch; `options` are for
    `Figure.subplots`.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.subplots(rows, columns, **options)
        with replacing(path) as temporary:
            figure.savefig(temporary, metadata={"Software": None})
