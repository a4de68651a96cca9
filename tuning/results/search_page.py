"""`search.html`: a report of the search as one self-contained page."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from pneumo_tfds.program.files import write_text
from tuning.results import search_plots
from tuning.results.confirm import Candidate, conclusion
from tuning.results.importance import MINIMUM_TRIALS, importance
from tuning.results.leaderboard import TrialRow
from tuning.search.search_plan import Plan


def write_page(path: Path, plan: Plan, rows: Sequence[TrialRow], confirmed: Sequence[Candidate] = ()) -> None:
    """Write the report.

    Args:
        path: of the HTML file.
        plan: what was searched.
        rows: the leaderboard, best first; at least one trial has a score.
        confirmed: the candidates that were trained from several seeds, best first; empty if there are none.
    """
    ranked = [row for row in rows if row.score is not None]
    units = np.array([[p.unit(row.values[p.name]) for p in plan.parameters] for row in ranked])
    found = importance(units, np.array([row.score for row in ranked]), [p.name for p in plan.parameters])
    plots = {
        "best": _png(lambda path: search_plots.best_so_far(path, plan, rows)),
        "parameters": _png(lambda path: search_plots.by_parameter(path, plan, rows)),
        "parallel": _png(lambda path: search_plots.parallel_coordinates(path, plan, rows)),
    }
    if found:
        plots["importance"] = _png(lambda path: search_plots.importances(path, found))
    environment = Environment(loader=PackageLoader("tuning.results", "."), autoescape=True, undefined=StrictUndefined)
    text = environment.get_template("search_page.html").render(
        plan=plan,
        rows=rows,
        ranked=ranked,
        names=[parameter.name for parameter in plan.parameters],
        start=next((row for row in ranked if row.trial == 1), None),
        plots=plots,
        minimum=MINIMUM_TRIALS,
        confirmed=confirmed,
        conclusion=conclusion(list(confirmed), plan.objective) if confirmed else "",
        seconds=sum(row.seconds for row in rows),
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
    )
    write_text(path, text)


def _png(draw: Callable[[Path], None]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.png"
        draw(path)
        return base64.b64encode(path.read_bytes()).decode("ascii")
