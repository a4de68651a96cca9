"""Content of the report as words and rows of text, from `metrics.json` and the predictions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import classification_report

from pipeline.config.path_settings import PATHS, is_path
from pipeline.evaluation.calibration import LEAST_IN_BIN
from pipeline.evaluation.doubt import Doubt, four_answers
from pipeline.evaluation.metrics import decisions
from pipeline.evaluation.predictions import CLASSES, POSITIVE, Labels, Predictions
from pneumo_tfds.program.answers import UNCERTAIN, UNSUITABLE, why_uncertain, why_unsuitable
from pneumo_tfds.program.wording import counted

DASH = "\u2013"
HIDDEN = "a path; see config.json"


def number(value: float | None, digits: int = 3) -> str:
    """Return a figure as text: rounded, but never up to 1 if it is below; a dash for None."""
    if value is None:
        return DASH
    text = f"{value:.{digits}f}"
    nearly_one = float(text) == 1.0 and value < 1.0
    return f">{1 - 10**-digits:.{digits}f}" if nearly_one else text


def span(limits: list[float] | None, digits: int = 3) -> str:
    """Return an interval as text, such as `0.912 to 0.953`; empty for None."""
    return "" if limits is None else f"{number(limits[0], digits)} to {number(limits[1], digits)}"


def signed(limits: list[float]) -> str:
    """Return the interval of a difference as text, such as `-0.602 to +0.426`."""
    return f"{limits[0]:+.3f} to {limits[1]:+.3f}"


def in_brackets(limits: list[float] | None) -> str:
    """Return an interval as text to stand behind a figure, such as ` (0.912 to 0.953)`; empty for None."""
    return f" ({span(limits)})" if limits else ""


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction as text, such as `12.5 %`: rounded, but never up to 100 if it is below; a dash for None."""
    return DASH if value is None else f"{_hundredths(value, digits)} %"


def _hundredths(value: float, digits: int = 1) -> str:
    text = f"{100 * value:.{digits}f}"
    return f">{100 - 10**-digits:.{digits}f}" if float(text) == 100.0 and value < 1.0 else text


def with_interval(figures: Mapping[str, Any], name: str) -> tuple[float | None, list[float] | None]:
    """Return a figure and its interval, if it is to be shown.

    ECE has no interval: a resample raises it, so that an interval may lie above the figure. With too few images for
    two of its bins it is not shown.
    """
    if name == "ece":
        return (figures[name] if figures["n"] >= 2 * LEAST_IN_BIN else None), None
    return figures[name], figures["intervals"].get(name)


def about_left(left: float | None) -> str:
    """Return what a value of `left without lungs` outside 0 to 1 means; empty for others."""
    if left is None:
        return "Undefined here, because AUROC with the lungs is not above 0.5."
    if left < 0:
        return "Below 0 here: without the lungs the model ranks worse than chance."
    return "Above 1 here: the model ranks better without the lungs." if left > 1 else ""


def never_given(doubt: Mapping[str, Any] | None) -> list[str]:
    """Return which of NORMAL and PNEUMONIA a model with these limits answers to no image."""
    if not doubt:
        return []
    never = {"NORMAL": doubt["certain_normal_below"] <= 0, "PNEUMONIA": doubt["certain_pneumonia_from"] >= 1}
    return [answer for answer, is_never in never.items() if is_never]


FOR_TEMPLATES = {
    "number": number, "span": span, "percent": percent, "counted": counted, "with_interval": with_interval,
    "about_left": about_left,
}  # fmt: skip
"""Functions that every template of a page or card may call."""

FOLD_FIGURES = {
    "auroc": "AUROC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "accuracy": "accuracy",
    "brier": "Brier score",
    "ece": "ECE",
}
"""Figures of folds that are shown, and how they are called."""


def fold_rows(folds: Mapping[str, Any]) -> list[list[str]]:
    """Return the lines of the table of `folds.json` as text: its head, the folds, and the lines of `fold_summary`.

    Columns are the fold, its images and patients, and `FOLD_FIGURES`.
    """
    head, *summary = fold_summary(folds)
    rows = [
        [one["name"], f"{one['images']:,}", f"{one['patients']:,}", *(number(one[name]) for name in FOLD_FIGURES)]
        for one in folds["folds"]
    ]
    return [head, *rows, *summary]


def fold_summary(folds: Mapping[str, Any]) -> list[list[str]]:
    """Return the head and the last lines of that table: the mean and the range of the folds, and all images at once."""
    spread = [f"{number(folds['mean'][name])} ± {number(folds['deviation'][name])}" for name in FOLD_FIGURES]
    reached = {name: [one[name] for one in folds["folds"] if one[name] is not None] for name in FOLD_FIGURES}
    ends = [span([min(values), max(values)]) if values else DASH for values in reached.values()]
    pooled = folds["pooled"]
    shown = (with_interval(pooled, name) for name in FOLD_FIGURES)
    whole = [f"{number(value)}{in_brackets(limits)}" for value, limits in shown]
    return [
        ["", "images", "patients", *FOLD_FIGURES.values()],
        ["mean ± deviation", "", "", *spread],
        ["lowest to highest", "", "", *ends],
        ["together (95 %)", f"{pooled['n']:,}", f"{pooled['patients']:,}", *whole],
    ]


def headline(metrics: Mapping[str, Any], split: str) -> str:
    """Return one sentence on how the model does on `split` at the operating point, with 95 % intervals."""
    figures, limits = metrics["splits"][split], metrics["splits"][split]["intervals"]
    parts = []
    for name, verb, images in (("sensitivity", "finds", "pneumonias"), ("specificity", "clears", "normal images")):
        if figures[name] is not None:
            ends = limits[name]
            interval = f" (95\u00a0% interval {_hundredths(ends[0])} to {_hundredths(ends[1])})" if ends else ""
            parts.append(f"{verb} {_hundredths(figures[name])}\u00a0%{interval} of {images}")
    auroc = ""
    if figures["auroc"] is not None:
        auroc = f"; AUROC {number(figures['auroc'])}{in_brackets(limits['auroc'])}"
    images = counted(figures["n"], f"{split.replace('_', '-')} image")
    alone = ", by its threshold alone" if len(never_given(metrics.get("doubt"))) == len(CLASSES) else ""
    found = f"On {images}{_of_patients(figures)}, the model{alone} {' and '.join(parts)}{auroc}."
    return found + _without_lungs(metrics.get("reliance"))


def _without_lungs(found: Mapping[str, Any] | None) -> str:
    """Return how well the model ranks without the lungs as a sentence; empty if that is not known."""
    if not found or found["left"] is None:
        return ""
    without, with_lungs = number(found["auroc_without_lungs"]), number(found["auroc"])
    return f" With the lungs blacked out, AUROC on validation is {without} instead of {with_lungs}."


def _of_patients(figures: Mapping[str, Any]) -> str:
    unknown = figures.get("patients_unknown", 0)
    if "patients" not in figures or 0 < unknown < figures["n"]:
        return ""
    return " of unknown patients" if unknown else f" of {counted(figures['patients'], 'patient')}"


def classification_rows(table: Predictions, threshold: float) -> list[dict[str, Any]]:
    """Return scikit-learn's classification report as rows, with PNEUMONIA, the positive class, first.

    None where a figure is undefined, or an average is of one that is. With images of one class there is its recall
    alone, as in the figures of `score_split`.
    """
    called = decisions(table.probabilities, threshold).astype(np.int64)
    report: dict[str, Any] = classification_report(
        table.labels, called, labels=[0, POSITIVE], target_names=CLASSES, output_dict=True, zero_division=np.nan
    )
    names = (CLASSES[POSITIVE], CLASSES[1 - POSITIVE])
    rows = [{key.replace("-", "_"): None if np.isnan(v) else v for key, v in report[name].items()} for name in names]
    if one_class := not all(row["support"] for row in rows):
        rows = [row | {"precision": None, "f1_score": None} for row in rows]
        rows = [row | ({} if row["support"] else {"recall": None}) for row in rows]
    found = [{"name": name, **row} for name, row in zip(names, rows, strict=True)]
    for average in () if one_class else ("macro avg", "weighted avg"):
        of_both = {key.replace("-", "_"): value for key, value in report[average].items()}
        undefined = {key for row in rows for key, value in row.items() if value is None}
        found.append({"name": average, **of_both, **dict.fromkeys(undefined)})
    return found


def error_rows(
    tables: Mapping[str, Predictions], split: str, chosen: Labels, *, files: bool = False
) -> list[dict[str, Any]]:
    """Return a row for each error: `row`, `label`, `called`, `kind` and `probability` as text.

    `row` is the line of predictions.csv below its header, from 1, because file names may name patients; with `files`,
    the name is added as `file`. The images are those of `split` at the indices `chosen`, int64 [k]; `tables` are all
    splits of predictions.csv, in its order.
    """
    table, found = tables[split], []
    before = sum(len(tables[name]) for name in list(tables)[: list(tables).index(split)])
    for index in chosen.tolist():
        label = int(table.labels[index])
        names = {"label": CLASSES[label], "called": CLASSES[1 - label], "kind": str(table.subtypes[index])}
        found.append({"row": before + index + 1, **names, "probability": number(float(table.probabilities[index]))})
        if files:
            found[-1]["file"] = str(table.filenames[index])
    return found


def reasons(table: Predictions, chosen: Labels, threshold: float, doubt: Doubt | None) -> list[str]:
    """Return why each image of `chosen`, int64 [k], was called what it was, and what the answer in use would be."""
    if not len(chosen):
        return []
    found, rows = [], table.take(chosen)
    given = four_answers(rows, doubt) if doubt else [""] * len(chosen)
    for probability, familiarity, answer in zip(rows.probabilities, rows.familiarity, given, strict=True):
        side = "at or above" if probability >= threshold else "below"
        text = f"{probability:.5g} is {side} the threshold {threshold:.5g}"
        if doubt:
            text += f"; answer in practice: {answer}"
            if answer == UNCERTAIN:
                text += f": {why_uncertain(doubt.certain_normal_below, doubt.certain_pneumonia_from)}"
            elif answer == UNSUITABLE and doubt.familiarity_threshold is not None:
                text += f": {why_unsuitable(familiarity, doubt.familiarity_threshold)}"
        found.append(text)
    return found


def setting_rows(value: Mapping[str, Any], private: set[str] | None, before: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted name, text) rows.

    Paths are not shown, because they may name a person. A name or text that is one of `private`, or that names an image
    file, is left out. With None for `private` everything is shown.
    """
    rows: list[tuple[str, str]] = []
    for name, part in value.items():
        if private is not None and _is_private(str(name), private):
            continue
        if isinstance(part, Mapping):
            rows += setting_rows(part, private, f"{before}{name}.")
            continue
        if isinstance(part, list) and name in PATHS and part and private is not None:
            part = HIDDEN
        text = DASH if part is None else f"{part:.6g}" if isinstance(part, float) else str(part)
        if private is not None and isinstance(part, (str, list)) and part:
            if is_path(str(name), text):
                text = HIDDEN
            elif _is_private(text, private):
                continue
        rows.append((f"{before}{name}", text))
    return rows


def _is_private(text: str, private: set[str]) -> bool:
    return text in private or re.search(r"\.(jpe?g|png|dcm|dicom)\b", text, re.IGNORECASE) is not None
