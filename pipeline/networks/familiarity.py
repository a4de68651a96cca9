"""Familiarity: how much an image looks like the training images to the network itself, as an output of its graph.

Each of two layers in the middle of the network gives the mean and the deviation of every channel: what textures there
are, and how unevenly they are spread. The distance of an image is the sum of the squared Mahalanobis distances of these
statistics from those of training images (Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution
Samples"). Its familiarity is the share of validation images whose distance is larger. The last features, which a
classifier is usually asked about, separate much less: docs/explanation/doubt.md compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

STATISTICS, DISTANCE, FAMILIARITY = "statistics", "distance", "familiarity"
LAYERS: Mapping[str, tuple[str, ...]] = {
    "efficientnet_lite0": ("block10_add", "block14_add"),
    "compact": ("stage2_block2_relu2", "stage3_block1_relu2"),
    "study": ("block3_conv", "block4_conv"),
}
"""Layers whose statistics are compared, by the name of the network. Others have no familiarity."""
SHRINKAGE = 0.01
"""Added to the eigenvalues of the correlation matrices, whose mean is 1, so that directions in which training images
hardly differ do not decide alone. 0.001 and 0.1 separate equally well."""
LEVELS = 1000
"""Steps of the familiarity, each an equal share of the validation images."""


class Gaussian(NamedTuple):
    """The statistics of one layer over training images: D numbers an image."""

    whitening: NDArray[np.float32]
    """`[D, D]`: statistics times it, minus `offset`, have mean 0 and about the identity as covariance."""
    offset: NDArray[np.float32]
    """`[D]`"""


class Reference(NamedTuple):
    """What an image is compared with."""

    gaussians: tuple[Gaussian, ...]
    """One for each layer, in the order in which their statistics are joined."""
    levels: NDArray[np.float32] | None = None
    """`[LEVELS + 1]`, ascending distances of validation images at equal steps of rank; None until they are known."""

    def with_levels(self, distances: NDArray[np.float64]) -> Reference:
        """Return it with the levels of validation images, whose distances are `[n]`, n at least 1."""
        levels = np.quantile(distances, np.linspace(0, 1, LEVELS + 1))
        apart = np.arange(LEVELS + 1) * (1e-6 * max(levels[-1], 1.0))  # equal levels would be divided by zero
        return self._replace(levels=(levels + apart).astype(np.float32))

    def familiarity(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the output of the graph is for distances `[n]`: 0 to 1, float64 `[n]`."""
        if self.levels is None:
            raise ValueError("the levels are not known yet")
        share: NDArray[np.float64] = np.interp(distances, self.levels.astype(np.float64), np.linspace(1, 0, LEVELS + 1))
        return share


def fit(statistics: NDArray[np.float32], widths: Sequence[int]) -> Reference:
    """Fit a Gaussian to the statistics of training images.

    Args:
        statistics: `[n, sum of widths]`, n at least 2.
        widths: how many of the numbers are those of each layer.
    """
    parts = np.split(statistics.astype(np.float64), np.cumsum(widths)[:-1], axis=1)
    return Reference(tuple(map(_gaussian, parts)))


def _gaussian(part: NDArray[np.float64]) -> Gaussian:
    mean, deviation = part.mean(axis=0), part.std(axis=0)
    deviation = np.maximum(deviation, 1e-3 * max(float(deviation.max()), 1e-6))  # a channel that is always off
    values, vectors = np.linalg.eigh(np.cov((part - mean) / deviation, rowvar=False, bias=True))
    whitening = vectors / np.sqrt(np.maximum(values, 0) + SHRINKAGE) / deviation[:, None]
    return Gaussian(whitening.astype(np.float32), (mean @ whitening).astype(np.float32))


def layers_of(network: keras.Model) -> list[Any]:
    """Return the outputs `[N, h, w, C]` of the layers of a network that are compared; none if it is not known."""
    return [network.get_layer(name).output for name in LAYERS.get(network.name, ())]


def statistics_of(maps: Sequence[Any]) -> Any:
    """Return mean and deviation of each channel of feature maps `[N, h, w, C]`, joined: `[N, sum of 2 C]`."""
    parts = []
    for values in maps:
        mean = ops.mean(values, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(values - mean), axis=(1, 2))
        parts += [mean[:, 0, 0], ops.sqrt(variance)]
    return layers.Concatenate(dtype="float32", name=STATISTICS)(parts)


def distance_of(statistics: Any, reference: Reference) -> Any:
    """Return the distance `[N, 1]` of statistics `[N, D]`, by layers that hold the Gaussians."""
    parts, start = [], 0
    for number, gaussian in enumerate(reference.gaussians, start=1):
        width = len(gaussian.offset)
        whitened = _dense(statistics[:, start : start + width], f"whiten{number}", gaussian.whitening, gaussian.offset)
        parts.append(ops.sum(ops.square(whitened), axis=1, keepdims=True))
        start += width
    return sum(parts[1:], parts[0])


def familiarity_of(distance: Any, reference: Reference) -> Any:
    """Return the familiarity `[N, 1]`, 0 to 1, of distances `[N, 1]`: one minus the mean of a ramp at each level."""
    levels = np.asarray(reference.levels, np.float64)
    slopes = (1 / np.diff(levels))[None].astype(np.float32)
    ramps = layers.ReLU(max_value=1.0, dtype="float32", name="ramps")(
        _dense(distance, "ranks", slopes, (levels[:-1] * slopes[0]).astype(np.float32))
    )
    share = 1 - ops.mean(ramps, axis=1, keepdims=True)
    return layers.Activation("linear", dtype="float32", name=FAMILIARITY)(share)


def _dense(x: Any, name: str, kernel: NDArray[np.float32], offset: NDArray[np.float32]) -> Any:
    layer = layers.Dense(kernel.shape[1], dtype="float32", name=name)
    x = layer(x)
    layer.set_weights([kernel, -offset])
    return x
