"""`search.html`: a report of the search as one self-contained page."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from pneumo_tfds.program.files import write_text
from pneumo_tfds.program.html_page import data_uri, render
from tuning.results import search_plots
from tuning.results.confirm import Candidate, conclusion
from tuning.results.front import Cost, front
from tuning.results.importance import MINIMUM_TRIALS, importance
from tuning.results.leaderboard import TrialRow
from tuning.search.search_plan import Plan


def write_page(
    path: Path, plan: Plan, rows: Sequence[TrialRow], confirmed: Sequence[Candidate], costs: Mapping[int, Cost]
) -> None:
    """Write the report. Trials and confirmed candidates are given best first; at least one trial has a score.

    `costs` holds what the network of each ranked trial costs in use, or nothing if all have the same network.
    """
    ranked = [row for row in rows if row.score is not None]
    names = [parameter.name for parameter in plan.parameters]
    units = np.array([[p.unit(row.values[p.name]) for p in plan.parameters] for row in ranked])
    found = importance(units, np.array([row.score for row in ranked]), names)
    plots = {}
    with tempfile.TemporaryDirectory() as folder:
        figure = Path(folder) / "figure.png"
        for draw in (search_plots.best_so_far, search_plots.parallel_coordinates, search_plots.by_parameter):
            draw(figure, plan, rows)
            plots[draw.__name__] = data_uri(figure.read_bytes())
        worth = front(rows, costs, plan.objective)
        if worth:
            search_plots.pareto_front(figure, plan, rows, costs, worth)
            plots["front"] = data_uri(figure.read_bytes())
        if found:
            search_plots.importances(figure, found)
            plots["importances"] = data_uri(figure.read_bytes())
    page = render(
        "tuning.results",
        "search_page.html",
        plan=plan,
        rows=rows,
        ranked=ranked,
        names=names,
        start=next((row for row in ranked if row.trial == 1), None),
        plots=plots,
        minimum=MINIMUM_TRIALS,
        confirmed=confirmed,
        costs=costs,
        front=worth,
        conclusion=conclusion(list(confirmed), plan.objective) if confirmed else "",
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
    )
    write_text(path, page)
