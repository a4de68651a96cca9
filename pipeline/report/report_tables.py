"""What the report says in words and rows, from the content of `metrics.json` and the predictions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from sklearn.metrics import classification_report

from pipeline.config import RunConfig
from pipeline.evaluation.metrics import decisions, worst_mistakes
from pipeline.evaluation.predictions import CLASSES, POSITIVE, Predictions, row_numbers
from pipeline.report.plot_style import number, span

FIGURES = (
    ("auroc", "AUROC", "chance that a random PNEUMONIA image scores above a random NORMAL one"),
    ("average_precision", "Average precision", "area under precision and recall"),
    ("sensitivity", "Sensitivity", "PNEUMONIA images that are called PNEUMONIA"),
    ("specificity", "Specificity", "NORMAL images that are called NORMAL"),
    ("precision", "Precision (PPV)", "of the images called PNEUMONIA, those that are"),
    ("npv", "NPV", "of the images called NORMAL, those that are"),
    ("accuracy", "Accuracy", "images called rightly"),
    ("balanced_accuracy", "Balanced accuracy", "mean of sensitivity and specificity"),
    ("f1", "F1", "harmonic mean of precision and sensitivity"),
    ("brier", "Brier score", "mean squared error of the probability; lower is better"),
    ("ece", "ECE", "mean gap between probability and frequency; lower is better, and biased upwards on few images"),
)


PATHS = {  # settings that hold one
    setting.name
    for section in vars(RunConfig()).values()
    for setting in dataclasses.fields(section)
    if "Path" in str(setting.type)
}
NO_FILES = ("auto", "imagenet", "none")
HIDDEN = "a path, told by config.json"


def verdict(metrics: Mapping[str, Any], split: str) -> str:
    """One sentence: what the model does on `split` at the operating point, with 95 % intervals."""
    figures, limits = metrics["splits"][split], metrics["splits"][split]["intervals"]

    def said(name: str, words: str) -> str:
        if figures[name] is None:
            return ""
        low, high = (100 * end for end in limits[name])
        return f"{words} {100 * figures[name]:.1f}\u00a0% (95\u00a0% interval {low:.1f} to {high:.1f})"

    parts = [said("sensitivity", "finds"), said("specificity", "clears")]
    parts = [part + whom for part, whom in zip(parts, (" of pneumonias", " of normal images"), strict=True) if part]
    auroc = f"; AUROC {number(figures['auroc'])} ({span(limits['auroc'])})" if figures["auroc"] is not None else ""
    patients = f" of {figures['patients']:,} patients" if "patients" in figures else ""
    return f"On {figures['n']:,} {split} images{patients}, the model {' and '.join(parts)}{auroc}."


def warnings(metrics: Mapping[str, Any], split: str) -> list[str]:
    """What a reader must know before believing the verdict."""
    found, dataset = [], metrics.get("dataset") or {}
    splits, point = metrics["splits"], metrics["operating_point"]
    figures = splits[split]
    if split != "test":
        found.append(
            f"There is no test split: the threshold was chosen on {point['chosen_on']}, so its figures flatter."
        )
    elif dataset.get("test_origin") == "carved":
        found.append(
            "The test images were carved from the same source as the training images, patient by patient. They are "
            "easier than images from elsewhere; expect less in use."
        )
    chosen = splits.get(point["chosen_on"])
    if split == "test" and chosen:
        fallen = [
            f"{label} {number(figures[name])} on test, {number(chosen[name])} on {point['chosen_on']}"
            for name, label in (("sensitivity", "sensitivity"), ("specificity", "specificity"), ("auroc", "AUROC"))
            if figures[name] is not None and chosen[name] is not None and chosen[name] > figures["intervals"][name][1]
        ]
        if fallen:
            found.append(
                f"The test images differ from those that the model was trained on, and so may yours: "
                f"{'; '.join(fallen)}, in each case above test's interval."
            )
    if any(figures[name] is None for name in ("sensitivity", "specificity")):
        found.append(f"The {split} images are of one class, so half of the figures mean nothing.")
    elif figures["sensitivity"] + figures["specificity"] <= 1:
        found.append("At this threshold the model is no better than chance.")
    counts = figures["confusion_matrix"]
    fewest = min(counts["tp"] + counts["fn"], counts["tn"] + counts["fp"])
    if 0 < fewest < 50:
        found.append(f"Only {fewest} images of the rarer class: read the intervals, not the figures.")
    return found


def figure_rows(metrics: Mapping[str, Any], splits: list[str]) -> list[dict[str, Any]]:
    """A row for each figure: `label`, `meaning`, and for each split its `value` and `interval` as text."""
    rows = []
    for name, label, meaning in FIGURES:
        cells = []
        for split in splits:
            figures = metrics["splits"][split]
            cells.append({"value": number(figures[name]), "interval": span(figures["intervals"].get(name))})
        rows.append({"label": label, "meaning": meaning, "cells": cells})
    return rows


def per_thousand(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Predictive values at other prevalences, and what they come to among 1,000 images."""
    rows = []
    for entry in figures.get("predictive_values", []):
        ill = 1000 * entry["prevalence"]
        found, alarms = figures["sensitivity"] * ill, (1 - figures["specificity"]) * (1000 - ill)
        rows.append({**entry, "found": found, "missed": ill - found, "alarms": alarms})
    return rows


def subtype_rows(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each kind of pneumonia: `kind`, `n`, `sensitivity` and `interval` as text."""
    kinds = figures.get("by_subtype", {})
    return [
        {"kind": kind, "n": kinds[kind]["n"], "sensitivity": number(kinds[kind]["sensitivity"])}
        | {"interval": span(kinds[kind].get("interval"))}
        for kind in sorted(kinds)
    ]


def classification(table: Predictions, threshold: float) -> list[dict[str, Any]]:
    """scikit-learn's classification report as rows, PNEUMONIA, the positive class, first."""
    called = decisions(table.probabilities, threshold).astype(np.int64)
    report: dict[str, Any] = classification_report(
        table.labels, called, labels=[0, POSITIVE], target_names=CLASSES, output_dict=True, zero_division=0.0
    )
    names = (CLASSES[POSITIVE], CLASSES[1 - POSITIVE], "macro avg", "weighted avg")
    return [{"name": name, **{key.replace("-", "_"): value for key, value in report[name].items()}} for name in names]


def mistake_rows(
    tables: Mapping[str, Predictions], split: str, threshold: float, most: int, *, files: bool = False
) -> list[dict[str, Any]]:
    """The surest mistakes: `row` in predictions.csv, `label`, `called`, `kind`, `probability`, and `file` on wish."""
    table, rows = tables[split], row_numbers(tables, split)
    found = []
    for index in worst_mistakes(table.labels, table.probabilities, threshold, most):
        label = int(table.labels[index])
        names = {"label": CLASSES[label], "called": CLASSES[1 - label], "kind": str(table.subtypes[index])}
        found.append({"row": int(rows[index]), **names, "probability": number(float(table.probabilities[index]))})
        if files:
            found[-1]["file"] = str(table.filenames[index])
    return found


def counted(value: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the data, with lists (of skipped files, of duplicates) replaced by how long they are."""
    return {
        name: counted(part) if isinstance(part, Mapping) else len(part) if isinstance(part, list | tuple) else part
        for name, part in value.items()
    }


def flat(value: Mapping[str, Any], private: set[str] | None, before: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text) rows.

    Paths are not shown, since they may name a person. A name or text that is one of `private`, or that names an image
    file, is left out. With None for `private` everything is shown.
    """
    rows: list[tuple[str, str]] = []
    for name, part in value.items():
        if private is not None and _tells(str(name), private):
            continue
        if isinstance(part, Mapping):
            rows += flat(part, private, f"{before}{name}.")
            continue
        text = "\u2013" if part is None else f"{part:.6g}" if isinstance(part, float) else str(part)
        if private is not None and isinstance(part, str):
            if _is_path(str(name), part):
                text = HIDDEN
            elif _tells(text, private):
                continue
        rows.append((f"{before}{name}", text))
    return rows


def _is_path(name: str, value: str) -> bool:
    return PurePath(value).is_absolute() or name in PATHS or (name == "pretrained_weights" and value not in NO_FILES)


def _tells(text: str, private: set[str]) -> bool:
    return text in private or re.search(r"\.(jpe?g|png|dcm|dicom)\b", text, re.IGNORECASE) is not None
