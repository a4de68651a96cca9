"""Grids of X-rays: examples of each class, and the most confident errors beside their heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.colors import LinearSegmentedColormap

from pipeline.evaluation.predictions import CLASSES, Floats, Images, Labels
from pipeline.report.plot_style import BY_CLASS, INK, NORMAL, PNEUMONIA, canvas

SIGNED = LinearSegmentedColormap.from_list("normal_to_pneumonia", [NORMAL, "#FFFFFF", PNEUMONIA])
MOST_OPAQUE = 0.5
COLUMNS = 6  # examples of each class


def some_of_each(labels: Labels, seed: int = 0) -> Labels:
    """Return up to `COLUMNS` row numbers of each class, picked at random by `seed`; labels are int64 [n]."""
    generator = np.random.default_rng(seed)
    each = (generator.permutation(np.flatnonzero(labels == label)) for label in range(len(CLASSES)))
    return np.concatenate([rows[:COLUMNS] for rows in each])


def examples(path: Path, images: Images, labels: Labels) -> None:
    """Draw one row of the first `COLUMNS` images of each class; images are uint8 [n, S, S, 1], labels int64 [n]."""
    with canvas(path, 1.55 * COLUMNS, 3.6, 2, COLUMNS, squeeze=False) as axes:
        for axis in axes.ravel():
            axis.axis("off")
        for label, (row, name, colour) in enumerate(zip(axes, CLASSES, BY_CLASS, strict=True)):
            for axis, image in zip(row, images[labels == label], strict=False):
                _show(axis, image)
            row[0].set_title(name, color=colour, pad=5)


def errors(
    path: Path, images: Images, heatmaps: npt.NDArray[np.float32] | None, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Draw misclassified images, each beside a copy under its heat map: orange for PNEUMONIA, blue against.

    All heat maps share one scale, so a pale one had little influence.

    Args:
        path: of the PNG.
        images: uint8 [n, S, S, 1], 1 to about 12.
        heatmaps: float32 [n, h, w] in logit units, or None for a network without heat maps.
        rows: [n], from `pipeline.report.report_tables.error_rows`; the titles, without file names and patients.
    """
    width = 1 if heatmaps is None else 2
    columns = min(len(images), 3 if width == 2 else 4)
    lines = -(-len(images) // columns)
    limit = 1.0 if heatmaps is None else float(max(np.abs(heatmaps).max(), 1e-6))
    with canvas(path, 1.65 * width * columns, 2.05 * lines, lines, columns * width, squeeze=False) as axes:
        for axis in axes.ravel():
            axis.axis("off")
        cells = axes.reshape(-1, width)
        for i, (image, of) in enumerate(zip(images, rows, strict=True)):
            title = f"row {of['row']}: {of['label']}\ncalled {of['called']}, {of['probability']}"
            for axis in cells[i]:
                _show(axis, image)
            cells[i, 0].set_title(title, fontsize=8.5, weight="normal", color=INK, pad=4)
            if heatmaps is not None:
                cells[i, 1].imshow(heatmap_colours(heatmaps[i], limit, image.shape[0]))


def heatmap_colours(heatmap: npt.NDArray[np.float32], limit: float, size: int) -> Floats:
    """Return a heat map [h, w] as RGBA [size, size, 4], 0 to 1: hue by sign, opacity by magnitude up to `limit`."""
    smooth = cv2.resize(np.asarray(heatmap, dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    signed = np.clip(smooth / limit, -1, 1)
    colours: Floats = np.asarray(SIGNED((np.sign(signed) + 1) / 2), dtype=np.float64)
    colours[..., 3] = MOST_OPAQUE * np.abs(signed) ** 0.7
    return colours


def _show(axis: Any, image: Images) -> None:
    axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
