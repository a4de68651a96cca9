"""Draw the two pictures that the original study had: the classes by split, and a labelled contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from pneumo_tfds.decode import Grey, decode
from pneumo_tfds.phantoms.phantom_source import phantom_source
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replacing
from pneumo_tfds.sources.inventory import LABELS, SUBTYPES, Image, Source
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.splits.assignment import SPLITS, assign
from pneumo_tfds.splits.duplicates import identical_groups
from pneumo_tfds.splits.options import SplitOptions

_COLUMNS = 6
_TILE = 224


def draw(path: Path | None, out: Path, options: SplitOptions, seed: int) -> list[Path]:
    """Write `classes.png` and `examples.png` to `out` and return their paths."""
    source = phantom_source() if path is None else open_source(path)
    classes, examples = out / "classes.png", out / "examples.png"
    draw_classes(source, classes, options)
    draw_examples(source, examples, seed)
    return [classes, examples]


def draw_classes(source: Source, path: Path, options: SplitOptions) -> None:
    """Draw bars of the number of images by split and class, with PNEUMONIA stacked by subtype."""
    from matplotlib.figure import Figure

    split = assign(source.images, identical_groups(source), options).split
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for column, name in enumerate(SPLITS):
        for row, label in enumerate(LABELS):
            members = [i for i in source.images if i.label == label and split.get(i.name) == name]
            height = 0
            for subtype in SUBTYPES:
                count = sum(image.subtype == subtype for image in members)
                if count:
                    colour = f"C{SUBTYPES.index(subtype)}"
                    axes.bar(column + 0.4 * row - 0.2, count, 0.38, bottom=height, color=colour, label=subtype)
                    height += count
            axes.text(column + 0.4 * row - 0.2, height, f"{label}\n{height:,}", ha="center", va="bottom", fontsize=8)
    handles = {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    axes.legend(handles.values(), handles.keys(), frameon=False)
    axes.set_xticks(range(len(SPLITS)), SPLITS)
    axes.set_ylabel("images")
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("Images by split, class and subtype")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def draw_examples(source: Source, path: Path, seed: int) -> None:
    """Draw a row of randomly chosen examples of each subtype."""
    from matplotlib.figure import Figure

    rows = [name for name in SUBTYPES if any(image.subtype == name for image in source.images)]
    figure = Figure(figsize=(2.0 * _COLUMNS, 2.35 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), _COLUMNS, squeeze=False)
    for axes, subtype in zip(grid, rows, strict=True):
        images = [image for image in source.images if image.subtype == subtype]
        for axis, (image, pixels) in zip(axes, _readable(source, images, seed), strict=False):
            axis.imshow(pixels[:, :, 0], cmap="gray", vmin=0, vmax=255)
            axis.set_title(f"{image.label} ({subtype})\n{Path(image.name).name}", fontsize=7)
        for axis in axes:
            axis.axis("off")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _readable(source: Source, images: Sequence[Image], seed: int) -> Iterator[tuple[Image, Grey]]:
    """Yield the readable images in random order."""
    for index in np.random.default_rng(seed).permutation(len(images)):
        image = images[index]
        with suppress(InputError):
            yield image, decode(source.read(image), _TILE, image.name)
