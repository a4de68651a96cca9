"""The plots of a run: training curves, and for each split what the predictions are worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.stats import beta
from sklearn.metrics import precision_recall_curve, roc_curve

from pipeline.evaluation.calibration import reliability
from pipeline.evaluation.intervals import roc_band
from pipeline.evaluation.predictions import CLASSES, POSITIVE, Predictions
from pipeline.report.plot_style import BY_CLASS, BY_KIND, GREEN, GREY, INK, PNEUMONIA, canvas, number, span

if TYPE_CHECKING:
    from pipeline.data.split import Examples

BAND_RESAMPLES = 1000
BAND_GRID = np.linspace(0, 1, 201)
SQUARE = (5.6, 5.2)
ZOOM_ABOVE, ZOOM = 0.9, 0.2
"""A ROC curve with more area than this also has its upper left corner enlarged, which is this wide."""


def training_curves(path: Path, history: Sequence[Mapping[str, str]]) -> None:
    """Loss, validation AUROC and accuracy, and learning rate by epoch; the epoch with the best AUROC is marked.

    Args:
        path: of the PNG.
        history: rows of `history.csv`; columns that are missing or empty are left out of the plot.
    """

    def column(name: str) -> tuple[list[float], list[float]]:
        pairs = [(float(row["epoch"]), float(row[name])) for row in history if row.get("epoch") and row.get(name)]
        return [x for x, _ in pairs], [y for _, y in pairs]

    epochs, auroc = column("validation_auroc")
    best = epochs[int(np.argmax(auroc))] if auroc else None
    mark = None if best is None else f"epoch {best:g}, the best AUROC"
    panels = (
        ("Loss", (("loss", "training", GREY), ("validation_loss", "validation", PNEUMONIA))),
        ("Validation AUROC", (("validation_auroc", "", PNEUMONIA),)),
        ("Validation accuracy at 0.5", (("validation_accuracy", "", PNEUMONIA),)),
        ("Learning rate", (("learning_rate", "", GREY),)),
    )
    with canvas(path, 9, 5.6, 2, 2) as axes:
        for axis, (title, lines) in zip(axes.ravel(), panels, strict=True):
            for name, label, colour in lines:
                axis.plot(*column(name), color=colour, marker="o", markersize=3.5, label=label)
            if best is not None:
                axis.axvline(best, color=GREEN, linestyle=":", linewidth=1.6, label=mark)
            axis.set_title(title)
            axis.set_xlabel("Epoch")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for axis in axes[0]:
            if axis.get_legend_handles_labels()[1]:
                axis.legend()
        axes[1, 1].yaxis.set_major_formatter("{x:g}")


def confusion_matrix(path: Path, counts: Mapping[str, int], title: str) -> None:
    """Counts `tn, fp, fn, tp` with PNEUMONIA positive; a cell's shade and percentage are its part of the true class."""
    cells = np.array([[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]], dtype=float)
    parts = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    names = (("cleared", "false alarms"), ("missed", "found"))
    with canvas(path, 5.0, 4.3) as axis:
        axis.imshow(parts, cmap="Blues", vmin=0, vmax=1.25)
        for row in range(2):
            for column in range(2):
                colour = "white" if parts[row, column] > 0.75 else INK
                text = f"{cells[row, column]:,.0f}"
                axis.text(column, row - 0.1, text, ha="center", va="center", color=colour, fontsize=22, weight="bold")
                note = f"{names[row][column]}, {parts[row, column]:.1%}"
                axis.text(column, row + 0.18, note, ha="center", va="center", color=colour)
        axis.set_xticks((0, 1), CLASSES)
        axis.set_yticks((0, 1), CLASSES, rotation=90, va="center")
        axis.set_xlabel("The model says")
        axis.set_ylabel("The label says")
        axis.set_title(title)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)


def roc(path: Path, table: Predictions, figures: Mapping[str, Any], title: str, seed: int = 0) -> None:
    """The ROC curve with its pointwise 95 % band over patients, and the operating point.

    Args:
        path: of the PNG.
        table: one split with both classes.
        figures: the split's part of `metrics.json`.
        title: of the plot.
        seed: of the band's resampling.
    """
    false_alarms, hits, _ = roc_curve(table.labels, table.probabilities)
    low, high = roc_band(table, BAND_GRID, BAND_RESAMPLES, seed)
    with canvas(path, *SQUARE) as axis:
        axis.plot((0, 1), (0, 1), color=GREY, linestyle="--", linewidth=1, label="chance")
        axis.fill_between(BAND_GRID, low, high, color=PNEUMONIA, alpha=0.2, linewidth=0, label="95 % band")
        limits = span(figures["intervals"]["auroc"])
        axis.plot(false_alarms, hits, color=PNEUMONIA, label=f"AUROC {number(figures['auroc'])} ({limits})")
        point = (1 - figures["specificity"], figures["sensitivity"])
        text = f"operating point: sensitivity {number(point[1])}, specificity {number(figures['specificity'])}"
        axis.plot(*point, "o", color=INK, markersize=9, label=text, zorder=5)
        _unit_square(axis, "False-positive rate (1 \u2212 specificity)", "Sensitivity", title)
        axis.legend(loc="lower right")
        if figures["auroc"] > ZOOM_ABOVE:
            corner = axis.inset_axes((0.42, 0.36, 0.52, 0.45), xlim=(-0.003, ZOOM), ylim=(1 - ZOOM, 1.003))
            corner.fill_between(BAND_GRID, low, high, color=PNEUMONIA, alpha=0.2, linewidth=0)
            corner.plot(false_alarms, hits, color=PNEUMONIA)
            corner.plot(*point, "o", color=INK, markersize=7)
            corner.set_title("the corner, enlarged", fontsize=9, weight="normal", pad=4)
            corner.tick_params(labelsize=8)
            corner.spines[:].set_visible(True)
            for side in (corner.xaxis, corner.yaxis):
                side.set_major_formatter(PercentFormatter(1.0, decimals=0))


def precision_recall(path: Path, table: Predictions, figures: Mapping[str, Any], title: str) -> None:
    """Precision by sensitivity (recall) with the operating point; chance is the prevalence. Arguments as for `roc`."""
    precision, recall, _ = precision_recall_curve(table.labels, table.probabilities)
    with canvas(path, *SQUARE) as axis:
        prevalence = figures["prevalence"]
        axis.axhline(prevalence, color=GREY, linestyle="--", linewidth=1, label=f"chance: prevalence {prevalence:.2f}")
        limits = span(figures["intervals"]["average_precision"])
        label = f"average precision {number(figures['average_precision'])} ({limits})"
        axis.step(recall, precision, where="post", color=PNEUMONIA, label=label)
        if figures["precision"] is not None:
            text = f"operating point: precision {number(figures['precision'])}"
            axis.plot(figures["sensitivity"], figures["precision"], "o", color=INK, markersize=9, label=text, zorder=5)
        _unit_square(axis, "Sensitivity (recall)", "Precision (positive predictive value)", title)
        axis.legend(loc="lower left")


def calibration(path: Path, table: Predictions, figures: Mapping[str, Any], title: str) -> None:
    """How often images given a probability are PNEUMONIA, with exact 95 % intervals, over where the images lie.

    The intervals are Clopper and Pearson's for the images of a bin. Arguments as for `roc`.
    """
    said, seen, counts = reliability(table.labels, table.probabilities)
    hits = np.round(seen * counts)
    low = np.nan_to_num(beta.ppf(0.025, hits, counts - hits + 1), nan=0.0)
    high = np.nan_to_num(beta.ppf(0.975, hits + 1, counts - hits), nan=1.0)
    with canvas(path, 5.6, 6.2, 2, 1, sharex=True, height_ratios=(3.6, 1)) as (axis, below):
        axis.plot((0, 1), (0, 1), color=GREY, linestyle="--", linewidth=1, label="what is said is what is seen")
        label = f"ECE {number(figures['ece'])}, Brier score {number(figures['brier'])}"
        axis.errorbar(
            said, seen, yerr=(seen - low, high - seen), color=PNEUMONIA, fmt="o-", capsize=3, lw=1.4, label=label
        )
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="Fraction that is PNEUMONIA", title=title)
        axis.legend(loc="best")
        below.hist(table.probabilities, bins=np.linspace(0, 1, 41), color=GREY)
        below.set(yscale="log", xlabel="P(PNEUMONIA) that the model says", ylabel="Images")


def scores(path: Path, table: Predictions, threshold: float, title: str) -> None:
    """Histogram of P(PNEUMONIA) for each class (counts on a logarithmic scale), and the threshold."""
    edges = np.linspace(0, 1, 41)
    with canvas(path, 6.4, 4.2) as axis:
        for label, (name, colour) in enumerate(zip(CLASSES, BY_CLASS, strict=True)):
            chosen = table.probabilities[table.labels == label]
            style = {"histtype": "stepfilled", "alpha": 0.4, "edgecolor": colour, "facecolor": colour, "linewidth": 1.6}
            axis.hist(chosen, bins=edges, label=f"{name} ({len(chosen):,})", hatch=("", "///")[label], **style)
        axis.axvline(threshold, color=INK, linewidth=1.6, linestyle=":", label=f"threshold {threshold:g}")
        axis.set(yscale="log", ylim=(0.8, None), xlim=(-0.01, 1.01), title=title)
        axis.set(xlabel="P(PNEUMONIA) that the model says", ylabel="Images (log scale)")
        axis.legend(loc="upper center", ncols=1)


def class_distribution(path: Path, counts: Mapping[str, Mapping[str, int]]) -> None:
    """How many images of each kind each split has.

    Args:
        path: of the PNG.
        counts: split to kind (`normal`, `bacteria`, `virus`, `unknown`, or the classes' own names) to images.
    """
    splits = list(counts)
    kinds = [kind for kind in BY_KIND if any(counts[split].get(kind) for split in splits)]
    with canvas(path, 6.8, 0.9 + 0.75 * len(splits)) as axis:
        totals = [sum(counts[split].values()) for split in splits]
        left = np.zeros(len(splits))
        for kind in kinds:
            widths = np.array([counts[split].get(kind, 0) for split in splits])
            axis.barh(splits, widths, left=left, color=BY_KIND[kind], height=0.62, label=kind, edgecolor="white")
            for row, width in enumerate(widths):
                if width > 0.06 * max(totals):
                    middle = left[row] + width / 2
                    axis.text(middle, row, f"{width:,}", ha="center", va="center", color="white", weight="bold")
            left += widths
        for row, total in enumerate(totals):
            axis.text(total + 0.015 * max(totals), row, f"{total:,}", va="center", color=INK)
        axis.set(xlabel="Images", xlim=(0, 1.12 * max(totals)), title="Images by split and kind")
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.invert_yaxis()
        axis.grid(False, axis="y")
        axis.legend(loc="lower right")


def draw_split(folder: Path, split: str, table: Predictions, figures: Mapping[str, Any], threshold: float) -> None:
    """Draw every plot of one split into `folder` as `KIND_SPLIT.png`; curves need both classes."""
    confusion_matrix(folder / f"confusion_matrix_{split}.png", figures["confusion_matrix"], f"Decisions, {split}")
    scores(folder / f"scores_{split}.png", table, threshold, f"Scores, {split}")
    if figures["auroc"] is None:
        return
    roc(folder / f"roc_{split}.png", table, figures, f"ROC, {split}")
    precision_recall(folder / f"precision_recall_{split}.png", table, figures, f"Precision and recall, {split}")
    calibration(folder / f"calibration_{split}.png", table, figures, f"Calibration, {split}")


def kinds_of(table: Predictions | Examples) -> dict[str, int]:
    """How many images of each kind a table or a split has, for `class_distribution`."""
    positive = table.labels == POSITIVE
    return {"normal": int(np.sum(~positive)), **Counter(map(str, table.subtypes[positive]))}


def _unit_square(axis: Any, across: str, up: str, title: str) -> None:
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=across, ylabel=up, title=title)
    axis.set_aspect("equal")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(PercentFormatter(1.0))
