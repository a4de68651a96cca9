"""Draw the two pictures that the original study had: the classes by split, and a labelled contact sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pneumo_tfds.decode import Grey, decode
from pneumo_tfds.phantoms.phantom_source import phantom_source
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replacing
from pneumo_tfds.sources.inventory import LABELS, SUBTYPES, Image, Source
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.splits.assignment import SPLITS, assign
from pneumo_tfds.splits.duplicates import identical_groups
from pneumo_tfds.splits.options import SplitOptions

_COLUMNS = 6
_TILE = 224


def draw(path: Path | None, source_options: SourceOptions, out: Path, options: SplitOptions, seed: int) -> list[Path]:
    """Write `classes.png` and `examples.png` to `out` and return their paths."""
    source = phantom_source() if path is None else open_source(path, source_options)
    pictures = {out / "classes.png": draw_classes(source, options), out / "examples.png": draw_examples(source, seed)}
    for picture, figure in pictures.items():
        with replacing(picture) as temporary:
            figure.savefig(temporary, dpi=150)
    return list(pictures)


def draw_classes(source: Source, options: SplitOptions) -> Figure:
    """Draw bars of the number of images by split and class, with PNEUMONIA stacked by subtype."""
    split = assign(source.images, identical_groups(source), options, source.validation).split
    counts = Counter((split.get(image.name), image.label, image.subtype) for image in source.images)
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for (column, name), (row, label) in product(enumerate(SPLITS), enumerate(LABELS)):
        place, height = column + 0.4 * row - 0.2, 0
        for number, subtype in enumerate(SUBTYPES):
            if count := counts[name, label, subtype]:
                axes.bar(place, count, 0.38, bottom=height, color=f"C{number}", label=subtype)
                height += count
        axes.text(place, height, f"{label}\n{height:,}", ha="center", va="bottom", fontsize=8)
    handles = {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    axes.legend(handles.values(), handles.keys(), frameon=False)
    axes.set_xticks(range(len(SPLITS)), SPLITS)
    axes.set_ylabel("images")
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("Images by split, class and subtype")
    return figure


def draw_examples(source: Source, seed: int) -> Figure:
    """Draw a row of randomly chosen examples of each subtype."""
    rows = [name for name in SUBTYPES if any(image.subtype == name for image in source.images)]
    figure = Figure(figsize=(2.0 * _COLUMNS, 2.35 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), _COLUMNS, squeeze=False)
    for axes, subtype in zip(grid, rows, strict=True):
        images = [image for image in source.images if image.subtype == subtype]
        for axis, (image, pixels) in zip(axes, readable(source, images, seed), strict=False):
            axis.imshow(pixels[:, :, 0], cmap="gray", vmin=0, vmax=255)
            axis.set_title(f"{image.label} ({subtype})\n{Path(image.name).name}", fontsize=7)
        for axis in axes:
            axis.axis("off")
    return figure


def readable(source: Source, images: Sequence[Image], seed: int, side: int = _TILE) -> Iterator[tuple[Image, Grey]]:
    """Yield the readable images in random order, each with its pixels, uint8 `[side, side, 1]`."""
    for index in np.random.default_rng(seed).permutation(len(images)):
        image = images[index]
        with suppress(InputError):
            yield image, decode(source.read(image), side, image.name)
