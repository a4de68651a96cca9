"""Familiarity: how much an image looks like the training images to the network itself, as an output of its graph.

Each of two layers in the middle of the network gives the mean and the deviation of every channel: what textures there
are, and how unevenly they are spread. The distance of an image is the sum of the squared Mahalanobis distances of these
statistics from those of training images (Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution
Samples"). Its familiarity is the share of validation images whose distance is larger. The last features, which a
classifier is usually asked about, separate much less: docs/explanation/doubt.md compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from pipeline.networks.familiarity_levels import levels_of, ramps, share_beyond

STATISTICS, FAMILIARITY = "statistics", "familiarity"
LAYERS: Mapping[str, tuple[str, ...]] = {
    "efficientnet_lite0": ("block10_add", "block14_add"),
    "compact": ("stage2_block2_relu2", "stage3_block1_relu2"),
    "study": ("block3_conv", "block4_conv"),
}
"""Layers whose statistics are compared, by the name of the network. Others have no familiarity."""
SHRINKAGE = 0.01
"""Added to the eigenvalues of the correlation matrices, whose mean is 1, so that directions in which training images
hardly differ do not decide alone. 0.001 and 0.1 separate equally well."""


class Gaussian(NamedTuple):
    """The statistics of one layer over training images: D numbers an image."""

    whitening: NDArray[np.float32]
    """`[D, D]`: statistics times it, minus `offset`, have mean 0 and about the identity as covariance."""
    offset: NDArray[np.float32]
    """`[D]`"""


class Reference(NamedTuple):
    """What an image is compared with."""

    gaussians: tuple[Gaussian, ...]
    """One for each layer."""
    levels: NDArray[np.float32] | None = None
    """Ascending distances of validation images at equal steps of rank; None until they are known."""

    def with_levels(self, distances: NDArray[np.float64]) -> Reference:
        """Return it with the levels of validation images, whose distances are `[n]`, n at least 1."""
        return self._replace(levels=levels_of(distances))

    def distances(self, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        """Return the distance of each image, float64 `[n]`, from the statistics `[n, D]` among a model's outputs."""
        parts = zip(among(outputs).values(), self.gaussians, strict=True)
        squares = [np.square(part @ gaussian.whitening - gaussian.offset).sum(axis=1) for part, gaussian in parts]
        found: NDArray[np.float64] = np.sum(squares, axis=0, dtype=np.float64)
        return found

    def familiarity(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the output of the graph is for distances `[n]`: 0 to 1, float64 `[n]`."""
        if self.levels is None:
            raise ValueError("the levels are not known yet")
        return share_beyond(distances, self.levels)


def fit(outputs: Mapping[str, NDArray[np.float32]]) -> Reference:
    """Fit a Gaussian to the statistics `[n, D]` of training images, n at least 2, among a model's outputs."""
    return Reference(tuple(_gaussian(part.astype(np.float64)) for part in among(outputs).values()))


def _gaussian(part: NDArray[np.float64]) -> Gaussian:
    mean, deviation = part.mean(axis=0), part.std(axis=0)
    deviation = np.maximum(deviation, 1e-3 * max(float(deviation.max()), 1e-6))  # a channel that is always off
    values, vectors = np.linalg.eigh(np.cov((part - mean) / deviation, rowvar=False, bias=True))
    whitening = vectors / np.sqrt(np.maximum(values, 0) + SHRINKAGE) / deviation[:, None]
    return Gaussian(whitening.astype(np.float32), (mean @ whitening).astype(np.float32))


def statistics_of(network: keras.Model) -> dict[str, Any]:
    """Return mean and deviation of each channel of the layers of a network that are compared.

    A tensor `[N, 2 C]` for each layer, by the name of an output; none if the layers of the network are not known.
    """
    found = {}
    for number, layer in enumerate(LAYERS.get(network.name, ()), start=1):
        values = network.get_layer(layer).output
        mean = ops.mean(values, axis=(1, 2), keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(values - mean), axis=(1, 2)))
        name = f"{STATISTICS}{number}"
        found[name] = layers.Concatenate(dtype="float32", name=name)([mean[:, 0, 0], deviation])
    return found


def among(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statistics among the outputs of a model, in the order of their layers; empty if there are none."""
    return {name: outputs[name] for name in sorted(outputs) if name.startswith(STATISTICS)}


def distance_of(outputs: Mapping[str, Any], reference: Reference) -> Any:
    """Return the distance `[N, 1]` of the statistics among `outputs`, by layers that hold the Gaussians."""
    squares = []
    for (name, statistics), gaussian in zip(among(outputs).items(), reference.gaussians, strict=True):
        whitened = _dense(statistics, name.replace(STATISTICS, "whiten"), gaussian.whitening, -gaussian.offset)
        squares.append(ops.sum(ops.square(whitened), axis=1, keepdims=True))
    return sum(squares[1:], squares[0])


def familiarity_of(distance: Any, reference: Reference) -> Any:
    """Return the familiarity `[N, 1]`, 0 to 1, of distances `[N, 1]`: one minus the mean of a ramp at each level."""
    if reference.levels is None:
        raise ValueError("the levels are not known yet")
    slopes, offsets = ramps(reference.levels)
    ramped = layers.ReLU(max_value=1.0, dtype="float32", name="ramps")(_dense(distance, "ranks", slopes, offsets))
    share = 1 - ops.mean(ramped, axis=1, keepdims=True)
    return layers.Activation("linear", dtype="float32", name=FAMILIARITY)(share)


def _dense(x: Any, name: str, kernel: NDArray[np.float32], offset: NDArray[np.float32]) -> Any:
    layer = layers.Dense(kernel.shape[1], dtype="float32", name=name)
    x = layer(x)
    layer.set_weights([kernel, offset])
    return x
