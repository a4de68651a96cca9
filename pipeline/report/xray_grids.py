"""Grids of X-rays: examples of each class, and the worst mistakes with what the network weighed where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.colors import LinearSegmentedColormap

from pipeline.evaluation.predictions import CLASSES, Predictions, row_numbers
from pipeline.report.plot_style import BY_CLASS, INK, NORMAL, PNEUMONIA, canvas, number

Images = npt.NDArray[np.uint8]
SIGNED = LinearSegmentedColormap.from_list("normal_to_pneumonia", [NORMAL, "#FFFFFF", PNEUMONIA])
MOST_OPAQUE = 0.5


def examples(path: Path, images: Images, labels: npt.NDArray[np.int64], seed: int = 0, columns: int = 6) -> None:
    """One row of images of each class, drawn at random.

    Args:
        path: of the PNG.
        images: uint8 [n, S, S, 1].
        labels: int64 [n].
        seed: of the draw.
        columns: images of each class at most.
    """
    generator = np.random.default_rng(seed)
    with canvas(path, 1.55 * columns, 3.6, 2, columns, squeeze=False) as axes:
        for label, (row, name, colour) in enumerate(zip(axes, CLASSES, BY_CLASS, strict=True)):
            found = np.flatnonzero(labels == label)
            chosen = generator.permutation(found)[:columns]
            for axis in row:
                axis.axis("off")
            for axis, index in zip(row, chosen, strict=False):
                _show(axis, images[index])
            row[0].set_title(name, color=colour, pad=5)


def mistakes(path: Path, images: Images, heatmaps: npt.NDArray[np.float32] | None, titles: Sequence[str]) -> None:
    """Images that were called wrongly, each beside itself under its heat map; orange spoke for PNEUMONIA, blue against.

    All maps share one scale, so a pale map is one that said little.

    Args:
        path: of the PNG.
        images: uint8 [n, S, S, 1], n to about 12; with none there is no picture, and one that was there goes.
        heatmaps: float32 [n, h, w] in logit units, or None for a network without one.
        titles: [n], shown over each image; no file name, no patient.
    """
    if not len(images):
        path.unlink(missing_ok=True)
        return
    width = 1 if heatmaps is None else 2
    columns = min(len(images), 3 if width == 2 else 4)
    rows = -(-len(images) // columns)
    with canvas(path, 1.65 * width * columns, 2.05 * rows, rows, columns * width, squeeze=False) as axes:
        for axis in axes.ravel():
            axis.axis("off")
        limit = 1.0 if heatmaps is None else float(max(np.abs(heatmaps).max(), 1e-6))
        for i, (image, title) in enumerate(zip(images, titles, strict=True)):
            row, column = divmod(i, columns)
            _show(axes[row, column * width], image)
            axes[row, column * width].set_title(title, fontsize=8.5, weight="normal", color=INK, pad=4)
            if heatmaps is not None:
                _show(axes[row, column * width + 1], image)
                _overlay(axes[row, column * width + 1], heatmaps[i], limit, image.shape[0])


def mistake_titles(tables: Mapping[str, Predictions], split: str, chosen: npt.NDArray[np.int64]) -> list[str]:
    """Titles for `mistakes`: the row in predictions.csv, label, what it was called, and P(PNEUMONIA).

    Args:
        tables: every split of predictions.csv, in its order.
        split: the one that `chosen` indexes.
        chosen: int64 [k], such as `pipeline.evaluation.metrics.worst_mistakes` gives.
    """
    table, rows = tables[split], row_numbers(tables, split)
    titles = []
    for i in chosen:
        label, probability = int(table.labels[i]), float(table.probabilities[i])
        titles.append(f"row {rows[i]}: {CLASSES[label]}\ncalled {CLASSES[1 - label]}, {number(probability)}")
    return titles


def overlay(image: Images, heatmap: npt.NDArray[np.float32], limit: float) -> Images:
    """An image [S, S, 1] under its heat map [h, w] as uint8 RGB [S, S, 3]; colours end at +-`limit` logits."""
    size = image.shape[0]
    colours = _colours(heatmap, limit, size)
    opacity = colours[..., 3:]
    mixed = (1 - opacity) * image.astype(np.float64) + opacity * 255 * colours[..., :3]
    return np.round(mixed).astype(np.uint8)


def _show(axis: Any, image: Images) -> None:
    axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="antialiased")


def _overlay(axis: Any, heatmap: npt.NDArray[np.float32], limit: float, size: int) -> None:
    axis.imshow(_colours(heatmap, limit, size))


def _colours(heatmap: npt.NDArray[np.float32], limit: float, size: int) -> npt.NDArray[np.float64]:
    """RGBA [size, size, 4]: hue by sign, opacity by magnitude."""
    smooth = cv2.resize(np.asarray(heatmap, dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    signed = np.clip(smooth / limit, -1, 1)
    colours: npt.NDArray[np.float64] = np.asarray(SIGNED((np.sign(signed) + 1) / 2), dtype=np.float64)
    colours[..., 3] = MOST_OPAQUE * np.abs(signed) ** 0.7
    return colours
