"""Find the lungs in an image, and show the classifier nothing else.

A small convolutional network reads the box around both lungs off a thumbnail. What lies in the box, with a margin, is
resampled to a square, which the classifier sees in place of the image: framing, aspect ratio and what surrounds the
chest can say nothing then. All of it is matrix products of standard layers, so an exported file contains it, and
plain Keras opens a saved network. docs/explanation/lungs.md tells where the weights come from and what they find.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from pipeline.networks.standardization import standardized

BOX, SEEN = "lung_box", "lungs"  # the names of two layers: the box, and what the classifier sees
WEIGHTS = Path(__file__).with_name("lungs.npz")
THUMBNAIL = 64  # side of the image from which the box is read, pixels
FILTERS = (16, 24, 32, 48)  # of the convolutions, each followed by 2 x 2 max pooling
HIDDEN = 64  # units of the dense layer above them
MARGIN = 0.1  # added to each side of the box, as a fraction of its width or height
SMALLEST = 0.3  # least width and height of the box, as a fraction of the image's side
REACH = 1.5  # how far away a pixel counts, in pixels of what is seen; 1, linear interpolation, is less smooth
PART = 4 / 7  # side of what is seen, of the image's; with 5/7 answers are no better (docs/explanation/results.md)


def side_of(image_size: int) -> int:
    """Return the side of what is seen of images of this side, pixels: the multiple of 32 that is nearest to 4/7."""
    return max(32, 32 * round(PART * image_size / 32))


def find(image: Any) -> Any:
    """Return the box around the lungs, `[N, 4]`: left, top, right and bottom, about 0 to 1 of the image's side.

    Where there are no lungs there is a box too. Its layers take no part in training.

    Args:
        image: Keras tensor float32 `[N, S, S, 1]`, 0 to 255.
    """
    found, made = read_off(thumbnail(image), trainable=False)
    for layer, (kernel, bias) in zip(made, _trained(), strict=True):
        layer.set_weights([kernel, bias])
    return found


def thumbnail(image: Any) -> Any:
    """Return standardized thumbnails `[N, 64, 64, 1]` of images float32 `[N, S, S, 1]`."""
    left = 0 * image[:, :1, 0, 0]
    return standardized(crop(image, ops.concatenate([left, left, left + 1, left + 1], axis=1), THUMBNAIL, reach=1))


def read_off(x: Any, *, trainable: bool) -> tuple[Any, list[layers.Layer]]:
    """Return the boxes `[N, 4]` of standardized thumbnails `[N, 64, 64, 1]`, and the layers with weights, in order."""
    fixed: dict[str, Any] = {"trainable": trainable, "dtype": "float32"}
    made: list[layers.Layer] = []
    for number, filters in enumerate(FILTERS, start=1):
        convolution = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"find_conv{number}", **fixed)
        x = layers.MaxPooling2D(dtype="float32", name=f"find_pool{number}")(convolution(x))
        made.append(convolution)
    x = layers.Flatten(dtype="float32", name="find_flatten")(x)
    for name, units, activation in (("find_hidden", HIDDEN, "relu"), ("find_box", 4, None)):
        dense = layers.Dense(units, activation=activation, name=name, **fixed)
        x = dense(x)
        made.append(dense)
    return x, made


@lru_cache(maxsize=1)
def _trained() -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return kernel and bias of each layer."""
    with np.load(WEIGHTS, allow_pickle=False) as file:
        arrays = [array.astype(np.float32) for array in file.values()]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def with_margin(box: Any, margin: float = MARGIN) -> Any:
    """Return boxes `[N, 4]` with a margin on each side, a fraction of their width and height, at least `SMALLEST`."""
    middle = (box[:, :2] + box[:, 2:]) / 2
    reach = ops.maximum(box[:, 2:] - box[:, :2], SMALLEST) * (0.5 + margin)
    return ops.concatenate([middle - reach, middle + reach], axis=1)


def crop(image: Any, box: Any, side: int, reach: float = REACH) -> Any:
    """Return what lies in the boxes, `[N, side, side, 1]`, by means of the pixels near each place.

    A mean of more pixels moves less where each of them changes by what nobody sees, such as another decoder's rounding.

    Args:
        image: float32 `[N, S, S, 1]`.
        box: `[N, 4]`, left, top, right, bottom; beyond the image its edge is repeated.
        side: of the result, pixels.
        reach: from how far away a pixel counts, in pixels of the result, or of the image where those are larger.
    """
    size = image.shape[1]
    rows = _weights(box[:, 1], box[:, 3], side, size, reach)
    columns = _weights(box[:, 0], box[:, 2], side, size, reach)
    return ops.matmul(ops.matmul(rows, image[..., 0]), ops.transpose(columns, (0, 2, 1)))[..., None]


def _weights(low: Any, high: Any, count: int, size: int, reach: float) -> Any:
    """Return the weight of each of `size` pixels at `count` places between `low` and `high`, `[N, count, size]`."""
    width = (high - low)[:, None, None] * size / count
    steps = (np.arange(count, dtype=np.float32) + 0.5)[None, :, None]
    places = ops.clip(low[:, None, None] * size + width * steps - 0.5, 0, size - 1)
    weights = ops.relu(1 - ops.abs(places - np.arange(size, dtype=np.float32)) / (reach * ops.maximum(width, 1)))
    return weights / ops.sum(weights, axis=2, keepdims=True)


def seen(image: Any, side: int) -> Any:
    """Return what the classifier sees of images float32 `[N, S, S, 1]`: `[N, side, side, 1]`, by the layer `SEEN`."""
    box = layers.Activation("linear", dtype="float32", name=BOX)(ops.clip(with_margin(find(image)), 0, 1))
    return layers.Activation("linear", dtype="float32", name=SEEN)(crop(image, box, side))


def spread(heatmap: Any, box: Any, cells: int) -> Any:
    """Return heat maps of what lies in the boxes as heat maps of the images, `[N, cells, cells]`, with the same mean.

    Outside the boxes they are 0.

    Args:
        heatmap: `[N, h, w]`.
        box: `[N, 4]`, left, top, right, bottom, within the image.
        cells: side of the result.
    """
    rows = _inverse(box[:, 1], box[:, 3], cells, heatmap.shape[1])
    columns = _inverse(box[:, 0], box[:, 2], cells, heatmap.shape[2])
    inside = ops.sum(rows, axis=2)[:, :, None] * ops.sum(columns, axis=2)[:, None, :]
    wide = ops.matmul(ops.matmul(rows, heatmap), ops.transpose(columns, (0, 2, 1)))
    covered = ops.mean(inside, axis=(1, 2), keepdims=True)
    scaled = wide / covered
    lacking = ops.mean(heatmap, axis=(1, 2), keepdims=True) - ops.mean(scaled, axis=(1, 2), keepdims=True)
    return scaled + lacking * inside / covered


def _inverse(low: Any, high: Any, count: int, size: int) -> Any:
    """Return the weight of each of `size` parts of a box in each of `count` cells of the image, `[N, count, size]`."""
    low, high = low[:, None, None], high[:, None, None]
    cells = ((np.arange(count, dtype=np.float32) + 0.5) / count)[None, :, None]
    inside = ops.subtract(cells, low)
    places = inside / (high - low) * size - 0.5
    weights = ops.relu(1 - ops.abs(ops.clip(places, 0, size - 1) - np.arange(size, dtype=np.float32)))
    # A cell that the edge of the box divides counts in part: by how much of it lies inside.
    part = ops.clip(ops.minimum(inside, high - low - inside) * count + 0.5, 0, 1)
    return weights * part
