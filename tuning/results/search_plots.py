"""Plots of a search: best so far, objective against each parameter, parallel coordinates, importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from pipeline.report.plot_style import GREEN, GREY, INK, NORMAL, PNEUMONIA, canvas
from tuning.results.front import Cost
from tuning.results.importance import Importance
from tuning.results.leaderboard import TrialRow
from tuning.search.search_plan import Plan
from tuning.search.space import Parameter


def best_so_far(path: Path, plan: Plan, rows: Sequence[TrialRow]) -> None:
    """Plot every trial's score in the order in which they began, and the best so far."""
    ordered = sorted((row for row in rows if row.score is not None), key=lambda row: row.trial)
    scores = np.array([row.score for row in ordered], float)
    trials = [row.trial for row in ordered]
    best = (np.maximum if plan.objective.direction == "max" else np.minimum).accumulate(scores)
    with canvas(path, 9, 3.6) as axis:
        axis.step(trials, best, where="post", color=NORMAL, label="best so far")
        for status, mark in (("finished", "o"), ("stopped early", "v"), ("out of time", "s")):
            places = np.flatnonzero([row.status == status for row in ordered])
            label = "trial" if status == "finished" else f"trial, {status}"
            if len(places):
                axis.scatter(
                    np.array(trials)[places], scores[places], s=26, marker=mark, color=GREY, label=label, zorder=3
                )
        if 1 in trials:
            axis.axhline(scores[0], color=PNEUMONIA, linestyle=":", linewidth=1.4, label="starting values")
        failed = [row.trial for row in rows if row.status == "failed"]
        if failed:
            axis.scatter(failed, [scores.min()] * len(failed), marker="x", color=PNEUMONIA, label="failed", zorder=3)
        axis.set(xlabel="Trial", ylabel=_label(plan.objective.name), title="Best so far")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()


def by_parameter(path: Path, plan: Plan, rows: Sequence[TrialRow]) -> None:
    """Plot the objective against each hyper-parameter on its own scale; mark the best trial and the starting values."""
    ranked = [row for row in rows if row.score is not None]
    columns = min(4, len(plan.parameters))
    lines = -(-len(plan.parameters) // columns)
    with canvas(path, 3.1 * columns, 3.1 * lines, lines, columns, sharey=True, squeeze=False) as axes:
        for axis, parameter in zip(axes.ravel(), plan.parameters, strict=False):
            units = [parameter.unit(row.values[parameter.name]) for row in ranked]
            axis.scatter(units, [row.score for row in ranked], s=24, color=GREY)
            start = [(unit, row.score) for unit, row in zip(units, ranked, strict=True) if row.trial == 1]
            if start:
                axis.scatter(*start[0], s=60, color=PNEUMONIA, marker="D", label="start", zorder=3)
            axis.scatter(units[:1], [ranked[0].score], s=90, color=GREEN, marker="*", label="best", zorder=4)
            _scale(axis, parameter)
            axis.set_title(_label(parameter.name))
        axes[0, 0].legend()
        axes[0, 0].set_ylabel(_label(plan.objective.name))
        for axis in axes.ravel()[len(plan.parameters) :]:
            axis.set_visible(False)


def parallel_coordinates(path: Path, plan: Plan, rows: Sequence[TrialRow]) -> None:
    """Plot each trial as a line through its values; better trials have a stronger colour, and the best is green."""
    ranked = [row for row in rows if row.score is not None]
    scores = np.array([row.score for row in ranked], float)
    span = np.ptp(scores) or 1.0
    heights = (scores - scores.min()) / span
    merit = heights if plan.objective.direction == "max" else 1 - heights
    with canvas(path, 9, 3.9) as axis:
        axis.grid(False)
        places = range(len(plan.parameters) + 1)
        for row, height, good in reversed(list(zip(ranked, heights, merit, strict=True))):
            line = [parameter.unit(row.values[parameter.name]) for parameter in plan.parameters] + [height]
            best = row is ranked[0]
            axis.plot(places, line, color=GREEN if best else colormaps["cividis_r"](0.15 + 0.85 * good),
                      linewidth=2.8 if best else 1.2, alpha=1.0 if best else 0.35 + 0.55 * good)  # fmt: skip
        for place, parameter in enumerate(plan.parameters):
            axis.axvline(place, color=INK, linewidth=0.8)
            for height, text in _ticks(parameter):
                axis.annotate(text, (place, height), (4, 0), textcoords="offset points", fontsize=8.5, va="center",
                              bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.8})  # fmt: skip
        axis.axvline(len(plan.parameters), color=INK, linewidth=0.8)
        for height in (0.0, 0.5, 1.0):
            axis.annotate(f"{scores.min() + height * span:.4f}", (len(plan.parameters), height), (4, 0),
                          textcoords="offset points", fontsize=8.5, va="center")  # fmt: skip
        names = [*(parameter.name for parameter in plan.parameters), plan.objective.name]
        axis.set_xticks(list(places), [_label(name) for name in names])
        axis.set_yticks([])
        axis.set_xlim(-0.1, len(plan.parameters) + 0.45)
        axis.spines[:].set_visible(False)
        axis.set_title("Every trial")


def pareto_front(
    path: Path, plan: Plan, rows: Sequence[TrialRow], costs: Mapping[int, Cost], front: Sequence[TrialRow]
) -> None:
    """Plot the objective against milliseconds an image; the trials of the front are joined and named."""
    with canvas(path, 9, 3.9) as axis:
        shown = [row for row in rows if row.trial in costs]
        axis.scatter([costs[row.trial].milliseconds for row in shown], [row.score for row in shown], s=24, color=GREY)
        times, scores = [costs[row.trial].milliseconds for row in front], [row.score for row in front]
        axis.step(times, scores, where="post", color=GREEN, marker="o", label="no other is as good and faster")
        for row, time in zip(front, times, strict=True):
            axis.annotate(f"trial {row.trial}", (time, row.score), (5, -12), textcoords="offset points", fontsize=8.5)
        axis.set(xlabel="Milliseconds an image (onnxruntime, this machine)", ylabel=_label(plan.objective.name))
        axis.set_title("Objective against time")
        axis.legend()


def importances(path: Path, found: Sequence[Importance]) -> None:
    """Plot importance as bars, with the spread over resamples as lines."""
    with canvas(path, 9, 0.7 + 0.5 * len(found)) as axis:
        for place, one in enumerate(reversed(found)):
            axis.barh(place, max(0.0, one.mean), color=NORMAL, height=0.55)
            axis.plot([one.low, one.high], [place, place], color=INK, linewidth=1.5)
        axis.set_yticks(range(len(found)), [_label(one.name) for one in reversed(found)])
        axis.set_xlabel("Decrease of R² when shuffled; the line spans 90 % of the resamples of the trials")
        axis.set_title("Importance")


def _label(name: str) -> str:
    words = name.replace("_", " ").replace("auroc", "AUROC")
    return words.upper() if words in ("l1", "l2") else words[0].upper() + words[1:]


def _ticks(parameter: Parameter) -> list[tuple[float, str]]:
    if parameter.scale == "linear":
        values = list(np.linspace(parameter.low, parameter.high, 3))
    else:
        decades = range(
            int(np.ceil(np.log10(parameter.low) - 1e-9)), int(np.floor(np.log10(parameter.high) + 1e-9)) + 1
        )
        values = [10.0**power for power in decades] or [parameter.low, parameter.high]
        if parameter.scale == "log_or_zero":
            values = [0.0, *values]
    return [(parameter.unit(value), f"{value:.3g}".replace("e-0", "e-")) for value in values]


def _scale(axis: Any, parameter: Parameter) -> None:
    ticks = _ticks(parameter)
    axis.set_xticks([place for place, _ in ticks], [text for _, text in ticks], fontsize=8.5)
    axis.set_xlim(-0.06, 1.06)
