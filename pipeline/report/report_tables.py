"""Content of the report as words and rows of text, from `metrics.json` and the predictions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from sklearn.metrics import classification_report

from pipeline.config import RunConfig
from pipeline.evaluation.metrics import decisions
from pipeline.evaluation.predictions import CLASSES, POSITIVE, Labels, Predictions
from pneumo_tfds.program.wording import counted

DASH = "\u2013"
PATHS = {  # names of the settings that hold a path
    setting.name
    for section in vars(RunConfig()).values()
    for setting in dataclasses.fields(section)
    if "Path" in str(setting.type)
}
NO_FILES = ("auto", "imagenet", "none")
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


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction as text, such as `12.5 %`; a dash for None."""
    return DASH if value is None else f"{100 * value:.{digits}f} %"


def headline(metrics: Mapping[str, Any], split: str) -> str:
    """Return one sentence on how the model does on `split` at the operating point, with 95 % intervals."""
    figures, limits = metrics["splits"][split], metrics["splits"][split]["intervals"]
    parts = []
    for name, verb, images in (("sensitivity", "finds", "pneumonias"), ("specificity", "clears", "normal images")):
        if figures[name] is not None:
            low, high = (100 * end for end in limits[name])
            value = f"{100 * figures[name]:.1f}\u00a0% (95\u00a0% interval {low:.1f} to {high:.1f})"
            parts.append(f"{verb} {value} of {images}")
    auroc = f"; AUROC {number(figures['auroc'])} ({span(limits['auroc'])})" if figures["auroc"] is not None else ""
    patients = f" of {counted(figures['patients'], 'patient')}" if "patients" in figures else ""
    images = counted(figures["n"], f"{split} image")
    return f"On {images}{patients}, the model {' and '.join(parts)}{auroc}."


def warnings(metrics: Mapping[str, Any], split: str) -> list[str]:
    """Return what a reader must know before relying on the headline."""
    found, dataset, splits = [], metrics.get("dataset") or {}, metrics["splits"]
    figures, chosen_on = splits[split], metrics["operating_point"]["chosen_on"]
    if split == chosen_on:
        found.append(
            f"There is no test split. The threshold was chosen on {chosen_on}, so these figures are too optimistic."
        )
    if split == "test" and dataset.get("test_origin") == "carved":
        found.append(
            "The test images were split off from the training images by patient. They are easier than images from "
            "elsewhere, so expect lower figures in use."
        )
    chosen = splits.get(chosen_on)
    if split == "test" and chosen:
        fallen = [
            f"{label} {number(figures[name])} on test, {number(chosen[name])} on {chosen_on}"
            for name, label in {"sensitivity": "sensitivity", "specificity": "specificity", "auroc": "AUROC"}.items()
            if figures[name] is not None and chosen[name] is not None and chosen[name] > figures["intervals"][name][1]
        ]
        if fallen:
            found.append(
                "The test images differ from those that the model was trained on, and so may yours. "
                f"{chosen_on.capitalize()} lies above the 95 % interval of test: {'; '.join(fallen)}."
            )
    if any(figures[name] is None for name in ("sensitivity", "specificity")):
        found.append(f"The {split} images are of one class, so half of the figures are undefined.")
    elif figures["sensitivity"] + figures["specificity"] <= 1:
        found.append("At this threshold the model is no better than chance.")
    counts = figures["confusion_matrix"]
    fewest = min(counts["tp"] + counts["fn"], counts["tn"] + counts["fp"])
    if 0 < fewest < 50:
        found.append(f"The rarer class has only {counted(fewest, 'image')}: read the intervals, not the figures.")
    return found


def classification_rows(table: Predictions, threshold: float) -> list[dict[str, Any]]:
    """Return scikit-learn's classification report as rows, with PNEUMONIA, the positive class, first."""
    called = decisions(table.probabilities, threshold).astype(np.int64)
    report: dict[str, Any] = classification_report(
        table.labels, called, labels=[0, POSITIVE], target_names=CLASSES, output_dict=True, zero_division=0.0
    )
    names = (CLASSES[POSITIVE], CLASSES[1 - POSITIVE], "macro avg", "weighted avg")
    return [{"name": name, **{key.replace("-", "_"): value for key, value in report[name].items()}} for name in names]


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
        text = DASH if part is None else f"{part:.6g}" if isinstance(part, float) else str(part)
        if private is not None and isinstance(part, str):
            if _is_path(str(name), part):
                text = HIDDEN
            elif _is_private(text, private):
                continue
        rows.append((f"{before}{name}", text))
    return rows


def _is_path(name: str, value: str) -> bool:
    return PurePath(value).is_absolute() or name in PATHS or (name == "pretrained_weights" and value not in NO_FILES)


def _is_private(text: str, private: set[str]) -> bool:
    return text in private or re.search(r"\.(jpe?g|png|dcm|dicom)\b", text, re.IGNORECASE) is not None
