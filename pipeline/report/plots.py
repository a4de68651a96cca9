"""Plots of a run: training curves, the images of each split, and the predictions on each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_curve, roc_curve

from pipeline.evaluation.calibration import reliability
from pipeline.evaluation.intervals import roc_band
from pipeline.evaluation.predictions import CLASSES, POSITIVE, Labels, Names, Predictions
from pipeline.report.plot_style import BY_CLASS, BY_KIND, GREEN, GREY, INK, PNEUMONIA, canvas
from pipeline.report.report_tables import in_brackets, number, percent
from pipeline.run_folder.history import Epoch

BAND_GRID = np.linspace(0, 1, 201)
SQUARE = (5.6, 5.2)
MANY = 200
"""Images from which on counts are drawn on a logarithmic scale."""
CHANCE = {"color": GREY, "linestyle": "--", "linewidth": 1}
POINT = {"marker": "o", "linestyle": "none", "color": INK, "zorder": 5}
ZOOM_ABOVE, ZOOM = 0.9, 0.2
"""A ROC curve with a larger area than this gets an enlargement of its upper left corner, which is this wide."""


def training_curves(path: Path, epochs: Sequence[Epoch]) -> None:
    """Draw loss, validation AUROC and accuracy, and learning rate by epoch; the best AUROC is marked."""
    best = max(epochs, key=lambda epoch: epoch.validation_auroc)
    panels = (
        ("Loss", (("loss", "training", GREY), ("validation_loss", "validation", PNEUMONIA))),
        ("Validation AUROC", (("validation_auroc", "", PNEUMONIA),)),
        ("Validation accuracy at threshold 0.5", (("validation_accuracy", "", PNEUMONIA),)),
        ("Learning rate", (("learning_rate", "", GREY),)),
    )
    with canvas(path, 9, 5.6, 2, 2) as axes:
        for axis, (title, lines) in zip(axes.ravel(), panels, strict=True):
            for name, label, colour in lines:
                values = [getattr(epoch, name) for epoch in epochs]
                axis.plot([epoch.epoch for epoch in epochs], values, "o-", color=colour, markersize=3.5, label=label)
            mark = f"best AUROC: epoch {best.epoch}"
            axis.axvline(best.epoch, color=GREEN, linestyle=":", linewidth=1.6, label=mark)
            axis.set_title(title)
            axis.set_xlabel("Epoch")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for axis in axes[0]:
            axis.legend()
        axes[1, 1].yaxis.set_major_formatter("{x:g}")


def confusion_matrix(path: Path, counts: Mapping[str, int], title: str) -> None:
    """Draw the counts `tn, fp, fn, tp`; shade and percentage of a cell are its fraction of the true class."""
    cells = np.array([[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]], dtype=float)
    parts = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    names = (("cleared", "false alarms"), ("missed", "found"))
    with canvas(path, 5.0, 4.3) as axis:
        axis.imshow(parts, cmap="Blues", vmin=0, vmax=1.25)
        for (row, column), part in np.ndenumerate(parts):
            style = {"ha": "center", "va": "center", "color": "white" if part > 0.75 else INK}
            axis.text(column, row - 0.1, f"{cells[row, column]:,.0f}", fontsize=22, weight="bold", **style)
            axis.text(column, row + 0.18, f"{names[row][column]}, {percent(part)}", **style)
        axis.set_xticks((0, 1), CLASSES)
        axis.set_yticks((0, 1), CLASSES, rotation=90, va="center")
        axis.set(xlabel="Decision of the model", ylabel="Label", title=title)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)


def roc(path: Path, table: Predictions, figures: Mapping[str, Any], title: str, resamples: int) -> None:
    """Draw the ROC curve with its pointwise 95 % band over patients, and the operating point.

    Args:
        path: of the PNG.
        table: one split with both classes.
        figures: the part of `metrics.json` about the split.
        title: of the plot.
        resamples: of the band.
    """
    false_alarms, hits, _ = roc_curve(table.labels, table.probabilities)
    low, high = roc_band(table, BAND_GRID, resamples, seed=0)
    point = (1 - figures["specificity"], figures["sensitivity"])
    with canvas(path, *SQUARE) as axis:
        axis.plot((0, 1), (0, 1), label="chance", **CHANCE)
        axis.fill_between(BAND_GRID, low, high, color=PNEUMONIA, alpha=0.2, linewidth=0, label="95 % band")
        label = f"AUROC {number(figures['auroc'])}{in_brackets(figures['intervals']['auroc'])}"
        axis.plot(false_alarms, hits, color=PNEUMONIA, label=label)
        text = f"operating point: sensitivity {number(point[1])}, specificity {number(figures['specificity'])}"
        axis.plot(*point, markersize=9, label=text, **POINT)
        _unit_square(axis, "False-positive rate (1 \u2212 specificity)", "Sensitivity", title)
        axis.legend(loc="lower right")
        if figures["auroc"] > ZOOM_ABOVE:
            corner = axis.inset_axes((0.42, 0.36, 0.52, 0.45), xlim=(-0.003, ZOOM), ylim=(1 - ZOOM, 1.003))
            corner.fill_between(BAND_GRID, low, high, color=PNEUMONIA, alpha=0.2, linewidth=0)
            corner.plot(false_alarms, hits, color=PNEUMONIA)
            corner.plot(*point, markersize=7, **POINT)
            corner.set_title("upper left corner, enlarged", fontsize=9, weight="normal", pad=4)
            corner.tick_params(labelsize=8)
            corner.spines[:].set_visible(True)
            for side in (corner.xaxis, corner.yaxis):
                side.set_major_formatter(PercentFormatter(1.0, decimals=0))


def precision_recall(path: Path, table: Predictions, figures: Mapping[str, Any], title: str) -> None:
    """Draw precision over sensitivity (recall) with the operating point. Arguments as for `roc`."""
    precision, recall, _ = precision_recall_curve(table.labels, table.probabilities)
    with canvas(path, *SQUARE) as axis:
        axis.axhline(figures["prevalence"], label=f"chance: prevalence {figures['prevalence']:.2f}", **CHANCE)
        limits = in_brackets(figures["intervals"]["average_precision"])
        label = f"average precision {number(figures['average_precision'])}{limits}"
        axis.step(recall, precision, where="post", color=PNEUMONIA, label=label)
        if figures["precision"] is not None:
            text = f"operating point: precision {number(figures['precision'])}"
            axis.plot(figures["sensitivity"], figures["precision"], markersize=9, label=text, **POINT)
        _unit_square(axis, "Sensitivity (recall)", "Precision (positive predictive value)", title)
        axis.legend(loc="lower left")


def calibration(path: Path, table: Predictions, figures: Mapping[str, Any], title: str) -> None:
    """Draw the observed frequency of PNEUMONIA over the predicted probability, above a histogram of the predictions.

    The 95 % intervals are Clopper and Pearson's for the images of a bin. Arguments as for `roc`.
    """
    predicted, observed, counts = reliability(table.labels, table.probabilities)
    tests = [binomtest(round(part * n), int(n)) for part, n in zip(observed, counts, strict=True)]
    low, high = np.transpose([test.proportion_ci(method="exact") for test in tests])
    with canvas(path, 5.6, 6.2, 2, 1, sharex=True, height_ratios=(3.6, 1)) as (axis, below):
        axis.plot((0, 1), (0, 1), label="perfect calibration", **CHANCE)
        label = f"ECE {number(figures['ece'])}, Brier score {number(figures['brier'])}"
        style = {"color": PNEUMONIA, "fmt": "o-", "capsize": 3, "lw": 1.4}
        axis.errorbar(predicted, observed, yerr=(observed - low, high - observed), label=label, **style)
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="Fraction that is PNEUMONIA", title=title)
        axis.legend(loc="best")
        below.hist(table.probabilities, bins=np.linspace(0, 1, 41), color=GREY)
        below.set(yscale=_scale(table), xlabel="Predicted P(PNEUMONIA)", ylabel="Images")


def scores(path: Path, table: Predictions, threshold: float, title: str) -> None:
    """Draw the histogram of P(PNEUMONIA) for each class (of many images on a logarithmic scale), and the threshold."""
    edges = np.linspace(0, 1, 41)
    with canvas(path, 6.4, 4.2) as axis:
        for label, (name, colour) in enumerate(zip(CLASSES, BY_CLASS, strict=True)):
            chosen = table.probabilities[table.labels == label]
            style = {"histtype": "stepfilled", "alpha": 0.4, "edgecolor": colour, "facecolor": colour, "linewidth": 1.6}
            axis.hist(chosen, bins=edges, label=f"{name} ({len(chosen):,})", hatch=("", "///")[label], **style)
        axis.axvline(threshold, color=INK, linewidth=1.6, linestyle=":", label=f"threshold {threshold:g}")
        log = _scale(table) == "log"
        axis.set(yscale=_scale(table), ylim=(0.8 if log else 0, None), xlim=(-0.01, 1.01), title=title)
        axis.set(xlabel="Predicted P(PNEUMONIA)", ylabel="Images (log scale)" if log else "Images")
        axis.legend(loc="upper center", ncols=1)


def _scale(table: Predictions) -> str:
    """Return the scale of counts: a logarithm would make one image of few as high as half of them."""
    return "log" if len(table) >= MANY else "linear"


def class_distribution(path: Path, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Draw the number of images in each split of each kind, as from `count_kinds`."""
    splits = list(counts)
    kinds = [kind for kind in BY_KIND if any(counts[split].get(kind) for split in splits)]
    totals = [sum(counts[split].values()) for split in splits]
    with canvas(path, 6.8, 0.9 + 0.75 * len(splits)) as axis:
        left = np.zeros(len(splits))
        for kind in kinds:
            widths = np.array([counts[split].get(kind, 0) for split in splits])
            texts = [f"{width:,}" if width > 0.06 * max(totals) else "" for width in widths]
            bars = axis.barh(splits, widths, 0.62, left, color=BY_KIND[kind], label=kind, edgecolor="white")
            axis.bar_label(bars, texts, label_type="center", color="white", weight="bold")
            left += widths
        for row, total in enumerate(totals):
            axis.text(total + 0.015 * max(totals), row, f"{total:,}", va="center", color=INK)
        axis.set(xlabel="Images", xlim=(0, 1.12 * max(totals)), title="Images by split and kind")
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.invert_yaxis()
        axis.grid(False, axis="y")
        axis.legend(loc="lower right")


def draw_split(
    folder: Path, split: str, table: Predictions, figures: Mapping[str, Any], threshold: float, resamples: int
) -> None:
    """Draw every plot of one split into `folder` as `KIND_SPLIT.png`; curves need both classes."""
    confusion_matrix(folder / f"confusion_matrix_{split}.png", figures["confusion_matrix"], f"Decisions, {split}")
    scores(folder / f"scores_{split}.png", table, threshold, f"Predicted probabilities, {split}")
    if figures["auroc"] is None:
        for kind in ("roc", "precision_recall", "calibration"):  # those of an earlier evaluation
            (folder / f"{kind}_{split}.png").unlink(missing_ok=True)
        return
    roc(folder / f"roc_{split}.png", table, figures, f"ROC, {split}", resamples)
    precision_recall(folder / f"precision_recall_{split}.png", table, figures, f"Precision and recall, {split}")
    calibration(folder / f"calibration_{split}.png", table, figures, f"Calibration, {split}")


def count_kinds(labels: Labels, subtypes: Names) -> dict[str, int]:
    """Return the number of images of each kind, for `class_distribution`; labels and subtypes are [n]."""
    positive = labels == POSITIVE
    return {"normal": int(np.sum(~positive)), **Counter(map(str, subtypes[positive]))}


def _unit_square(axis: Any, across: str, up: str, title: str) -> None:
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=across, ylabel=up, title=title)
    axis.set_aspect("equal")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(PercentFormatter(1.0))
