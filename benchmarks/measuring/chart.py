"""Records as a chart: one panel of bars for each table, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.measuring.harness import LIMIT, OURS, PEER, Record
from benchmarks.measuring.tables import reference
from pneumo_tfds.program.files import replacing

COLOURS = {OURS: "#0b6e99", PEER: "#9a9a9a", LIMIT: "#d9b26f"}
ROW_INCHES, HEAD_INCHES, WIDTH_INCHES = 0.28, 0.9, 9.0


def write(path: Path, records: Sequence[Record]) -> None:
    """Draw the records that ran to `path`, whose suffix gives the format. Thin lines span all runs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [(case, list(group)) for case, group in groupby([r for r in records if r.runs], key=lambda r: r.case)]
    heights = [HEAD_INCHES + ROW_INCHES * len(group) for _, group in panels]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0] if panels else []
    for axis, (case, group) in zip(axes, panels, strict=True):
        base = reference(group)
        rates = [record.images_per_second for record in group]
        reach = [
            [rate - min(record.runs) for rate, record in zip(rates, group, strict=True)],
            [max(record.runs) - rate for rate, record in zip(rates, group, strict=True)],
        ]
        colours = [COLOURS[record.kind] for record in group]
        names = [record.contender for record in group]
        axis.barh(names, rates, xerr=reach, color=colours, error_kw={"linewidth": 0.8})
        for place, record in enumerate(group):
            text = f" {record.images_per_second:,.0f}" + (f"  ({record.ratio(base):.2f}×)" if base else "")
            axis.text(max(record.runs), place, text, va="center", fontsize=7)
        axis.invert_yaxis()
        axis.set_xscale("log")
        axis.set_xlim(right=max(rates) * 6)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("images/s, logarithmic", fontsize=7)
        axis.set_title(case.title, fontsize=8, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
