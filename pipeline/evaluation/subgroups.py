"""Figures of groups of images, such as ages or devices, and which gaps between them are more than chance."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import norm

from pipeline.config import EvaluationConfig
from pipeline.evaluation.intervals import at_least_wilson
from pipeline.evaluation.paired_tests import holm
from pipeline.evaluation.predictions import CLASSES, POSITIVE, Names, Predictions
from pipeline.evaluation.scoring import Decision, score_split
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.words import BLANK

COMPARED = ("auroc", "sensitivity", "specificity")
FEWEST_PATIENTS = 10
"""Patients, of the class in question, that a group needs for its figures to be compared with those of the others."""
MOST_GROUPS = 20
UNKNOWN = "not told"
AGE = re.compile(r"(^|[^A-Za-z])(age|Age|AGE)($|[^a-z])|[a-z]Age($|[^a-z])")
"""In the name of a column, `age`, `Patient Age` or `PatientAge`, but not `stage`."""

NO_YEARS = re.compile(
    r"age[^a-z]*(in[^a-z]*)?(month|week|day|hour|mo($|[^a-z]))|(month|week|day|hour)s[^a-z]*$", re.IGNORECASE
)
"""In the name of a column, another unit of an age, as in `age_months` or `Age at exam (days)`, but not `today_age`."""
OLDEST = 120


def difference(first: Mapping[str, Any], second: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return first minus second of a figure of two sets of other patients; None where it, or an interval, is undefined.

    The interval follows from those of both ("square and add", Zou and Donner, Statistics in Medicine 2008), each taken
    at least as wide as Wilson's, as Newcombe does (Statistics in Medicine 1998, method 10). Otherwise a small group
    without an error would be taken for one that is known exactly. It is too wide if both sets share patients who are
    alike.

    Args:
        first: figures, `patients_by_class` and `intervals` as of `score_split`. Runs of earlier versions have no
            `patients_by_class`; their interval is taken as it is, unless it has no width.
        second: likewise.
        name: of the figure.

    Returns:
        `difference`, `interval` [low, high] of 95 %, and a two-sided `p_value` that agrees with it.
    """
    values, limits = (first[name], second[name]), (first["intervals"].get(name), second["intervals"].get(name))
    if None in values or None in limits:
        return None
    (low, high), (other_low, other_high) = (_widened(one, name) for one in (first, second))
    if low == high or other_low == other_high:
        return None
    gap = values[0] - values[1]
    below = math.hypot(values[0] - low, other_high - values[1])
    above = math.hypot(high - values[0], values[1] - other_low)
    towards_zero = below if gap > 0 else above
    z = norm.isf(0.025) * abs(gap) / towards_zero if towards_zero else 0.0
    return {"difference": gap, "interval": [gap - below, gap + above], "p_value": float(2 * norm.sf(z))}


def _widened(figures: Mapping[str, Any], name: str) -> list[float]:
    interval: list[float] = figures["intervals"][name]
    counts = figures.get("patients_by_class")
    return at_least_wilson(figures[name], _patients(counts, name), interval) if counts else interval


def bands(column: str, cells: Sequence[str]) -> Names:
    """Return the group of each cell: ages in decades, other numbers of many values in quarters, else the text.

    An age in a unit that is not years, by the name of the column, is another number. Nobody is over 120 years old.

    A cell that says that nothing is known, such as `NA`, is as an empty one.

    Raises:
        InputError: there are too many groups, as of a column that names images.
    """
    cells = ["" if cell.strip().casefold() in BLANK else cell for cell in cells]
    numbers = [_number(cell) for cell in cells]
    known = [number for number in numbers if number is not None]
    numeric = bool(known) and all(number is not None for number, cell in zip(numbers, cells, strict=True) if cell)
    if numeric and AGE.search(column) and not NO_YEARS.search(column):
        groups = ["" if n is None else _decade(n) for n in numbers]
    elif numeric and len(set(known)) > MOST_GROUPS // 2:
        ends = np.quantile(known, (0, 0.25, 0.5, 0.75, 1))
        names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(ends)]
        groups = ["" if n is None else names[min(3, int(np.searchsorted(ends[1:4], n)))] for n in numbers]
    else:
        groups = list(cells)
    if len(set(groups)) > MOST_GROUPS:
        raise InputError(f"--by {column}: it has {len(set(groups))} values, over {MOST_GROUPS}; name another column")
    return np.array([group or UNKNOWN for group in groups])


def _decade(years: float) -> str:
    decade = int(years) // 10 * 10
    return f"{decade} to {decade + 9} years" if years <= OLDEST else f"over {OLDEST}, so hardly years"


def _number(cell: str) -> float | None:
    """Return a number, or the years of a DICOM age such as `047Y` or `008M`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([YMWD]?)", cell.strip())
    return float(match[1]) / {"": 1, "Y": 1, "M": 12, "W": 52.2, "D": 365.25}[match[2]] if match else None


def by_groups(
    table: Predictions, columns: Mapping[str, Sequence[str]], decision: Decision, settings: EvaluationConfig
) -> dict[str, list[dict[str, Any]]]:
    """Compute figures of each group of each column, and compare each group with all other images.

    Args:
        table: the images.
        columns: name to the cell of each image.
        decision: whose threshold and least familiarity are applied.
        settings: seed and resamples of the bootstrap.

    Returns:
        Column to rows of `group`, `n`, `patients`, `patients_by_class`, `prevalence`, `mean_probability`, `refused` (a
        fraction or None), `auroc`, `sensitivity`, `specificity`, `intervals`, and `gaps`: figure to `difference` of the
        group from the others with `interval` and `p_value`, which is Holm's over all gaps of all columns. A gap is
        left out where the group or the others have fewer than 10 patients of a class that the figure is about.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    gaps: list[dict[str, Any]] = []
    for column, cells in columns.items():
        groups = bands(column, cells)
        names = np.unique(groups).tolist()
        found[column] = []
        for name in names:
            mine = table.take(groups == name)
            row = _figures(mine, decision, settings) | {"group": name, "gaps": {}}
            found[column].append(row)
            if len(names) == 1 or names[1:] == [name]:  # of two groups, the gap of the first is that of the second
                continue
            others = table.take(groups != name)
            rest = _figures(others, decision, settings)
            for figure in COMPARED:
                enough = min(_patients(one["patients_by_class"], figure) for one in (row, rest)) >= FEWEST_PATIENTS
                if enough and (gap := difference(row, rest, figure)):
                    row["gaps"][figure] = gap
                    gaps.append(gap)
    for gap, p_value in zip(gaps, holm([gap["p_value"] for gap in gaps]), strict=True):
        gap["p_value"] = p_value
    return found


def _figures(table: Predictions, decision: Decision, settings: EvaluationConfig) -> dict[str, Any]:
    threshold, refused_below = decision.operating_point.threshold, decision.refused_below
    figures = score_split(table, threshold, settings.evaluation_seed, settings.resamples)
    kept = {name: figures[name] for name in ("n", "patients", "patients_by_class", "prevalence", *COMPARED)}
    kept["intervals"] = {name: figures["intervals"][name] for name in COMPARED}
    kept["mean_probability"] = float(table.probabilities.mean())
    kept["refused"] = None if refused_below is None else float(np.mean(table.familiarity < refused_below))
    return kept


def _patients(counts: Mapping[str, int], figure: str) -> int:
    """Return the number of patients of the class that a figure is about, the smaller one if of both."""
    normal, pneumonia = counts[CLASSES[1 - POSITIVE]], counts[CLASSES[POSITIVE]]
    return {"auroc": min(normal, pneumonia), "sensitivity": pneumonia, "specificity": normal}[figure]
