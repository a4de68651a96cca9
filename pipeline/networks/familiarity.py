"""Familiarity: how much an image looks like the training images to the network itself, as an output of its graph.

One or two layers in the middle of the network give the mean and the deviation of every channel: what textures there
are, and how unevenly they are spread. The distance of an image is the squared Mahalanobis distance of these statistics
from those of training images (Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples"),
for small networks less the same distance in the spread of images that are wrong on purpose (after Ren et al. 2021, "A
Simple Fix to Mahalanobis Distance"). Images of which a part was cut away lie among the others, but in a direction of
their own: linear discriminants (Fisher 1936) of the first layer find it, and what lies farther that way than nearly all
training images is moved away. An image's familiarity is the share of validation images whose distance is larger. The
last features, which a classifier is usually asked about, separate much less: docs/explanation/doubt.md compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from pipeline.config.own_network import PREFIX, is_own
from pipeline.networks.familiarity_levels import levels_of, ramps, share_beyond

STATISTICS, FAMILIARITY, WHITEN = "statistics", "familiarity", "whiten"
LARGEST = float(np.finfo(np.float32).max)


class Compared(NamedTuple):
    """What is compared of a network."""

    layers: tuple[str, ...]
    """Layers whose statistics are compared."""
    background: bool = False
    """Whether the distance in the spread of wrong images is subtracted."""


COMPARED: Mapping[str, Compared] = {
    "efficientnet_lite0": Compared(("block10_add", "block14_add")),
    "efficientnet_lite1": Compared(("block14_add", "block19_add")),
    "efficientnet_lite2": Compared(("block14_add", "block19_add")),
    "compact": Compared(("stage3_block1_relu2",), background=True),
    "study": Compared(("block4_conv",), background=True),
}
"""By the name of the network. A network of the user has `compared_of` its layers; others have no familiarity."""
NARROWEST, WIDEST = 8, 256
"""Fewest and most channels of a layer of the user's network that is compared: fewer say little, and the matrix of the
distance has twice as many rows and columns."""
SHRINKAGE = 0.01
"""Added to the eigenvalues of the correlation matrices, whose mean is 1, so that directions in which training images
hardly differ do not decide alone. 0.001 and 0.1 separate equally well."""
CAPPED = 0.999
"""Quantile over training images at which a term that is subtracted ends, so that nothing strange looks familiar."""
PARTS = 4
"""Parts into which images are divided, to see how a linear discriminant fares on those that it was not fitted on."""
USUAL = 0.99
"""Quantile over training images up to which a linear discriminant adds nothing. With 0.98 the images that are cut are
refused as often, and others that are wrong less often (docs/explanation/doubt.md)."""


class Distance(NamedTuple):
    """The distance of D statistics `x` of one layer, a sum of K terms.

    Each term is `signs * min(max(x @ kernel - offset, floors)**2, caps)`.
    """

    kernel: NDArray[np.float32]
    """`[D, K]`"""
    offset: NDArray[np.float32]
    """`[K]`"""
    signs: NDArray[np.float32]
    """`[K]`, 1, or -1 for what is subtracted."""
    caps: NDArray[np.float32]
    """`[K]`, the largest float32 where the sign is 1."""
    floors: NDArray[np.float32]
    """`[K]`, 0 for a linear discriminant, which counts in one direction; else the lowest float32."""


class Reference(NamedTuple):
    """What an image is compared with."""

    layers: tuple[Distance, ...]
    """Distances of each layer; they are added."""
    levels: NDArray[np.float32] = np.empty(0, np.float32)
    """Ascending distances of validation images at equal steps of rank; empty until they are known."""

    def with_levels(self, distances: NDArray[np.float64]) -> Reference:
        """Return it with the levels of validation images, whose distances are `[n]`, n at least 1."""
        return self._replace(levels=levels_of(distances))

    def distances(self, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        """Return the distance of each image, float64 `[n]`, from the statistics `[n, D]` among a model's outputs."""
        found: NDArray[np.float64] = np.zeros(len(next(iter(outputs.values()))))
        for part, (kernel, offset, signs, caps, floors) in zip(among(outputs).values(), self.layers, strict=True):
            terms = np.maximum(part.astype(np.float64) @ kernel - offset, floors)
            found += np.minimum(np.square(terms), caps) @ signs
        return found

    def familiarity(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the output of the graph is for distances `[n]`: 0 to 1, float64 `[n]`."""
        return share_beyond(distances, self.levels)


def needs_background(name: str) -> bool:
    """Return whether a network, by the name of its settings, is to be compared with wrong images too."""
    return is_own(name) or (name in COMPARED and COMPARED[name].background)


def compared_of(network: keras.Model) -> tuple[str, ...]:
    """Return which layers of a network are compared.

    Of a network of the user, the last feature map with at most `WIDEST` channels. By that rule it would be the same
    layer in `compact`, and the later of the two in EfficientNet-Lite0.
    """
    if network.name in COMPARED:
        return COMPARED[network.name].layers
    shapes: dict[str, Any] = {layer.name: getattr(layer.output, "shape", ()) for layer in network.layers}
    maps = [
        name
        for name, shape in shapes.items()
        if len(shape) == 4 and shape[1] * shape[2] > 1 and NARROWEST <= shape[3] <= WIDEST
    ]
    return tuple(maps[-1:]) if network.name.startswith(PREFIX) else ()


def fit(
    known: Mapping[str, NDArray[np.float32]],
    wrong: Mapping[str, NDArray[np.float32]] | None = None,
    cut: Sequence[Mapping[str, NDArray[np.float32]]] = (),
) -> Reference:
    """Fit the distances.

    Args:
        known: a model's outputs, with the statistics `[n, D]` of training images, n at least 2.
        wrong: likewise of images that are wrong on purpose, if their spread is to be subtracted.
        cut: likewise of images of which a part was cut away, an entry for each part; what lies in the direction of one
            counts as much as one standard deviation of the distance for each of its own beyond `USUAL` images.
    """
    parts = among(known)
    others = among(wrong) if wrong else dict.fromkeys(parts)
    found = Reference(tuple(_distance(part, others[name]) for name, part in parts.items()))
    if not cut:
        return found
    name, weight = next(iter(parts)), float(found.distances(known).std())
    directions = [
        _discriminant(parts[name], among(part)[name], weight) for part in cut if len(among(part)[name]) >= 2 * PARTS
    ]
    first = Distance(*(np.concatenate(columns, axis=-1) for columns in zip(found.layers[0], *directions, strict=True)))
    return Reference((first, *found.layers[1:]))


def _discriminant(known: NDArray[np.float32], cut: NDArray[np.float32], weight: float) -> Distance:
    """Return the term of a linear discriminant: `weight` for one standard deviation beyond `USUAL` known images.

    Both are those of images on which the discriminant was not fitted: where there are few images, it separates its own
    better than others.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # slow to import
    from sklearn.model_selection import cross_val_predict

    mean, deviation = _centre(known)
    scaled = (np.concatenate([known, cut]).astype(np.float64) - mean) / deviation
    is_cut = np.repeat([0, 1], [len(known), len(cut)])
    # Ledoit and Wolf's shrinkage, as there may be fewer images than statistics.
    separate = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    of_others = cross_val_predict(separate, scaled, is_cut, cv=PARTS, method="decision_function")[: len(known)]
    separate.fit(scaled, is_cut)
    scale = np.sqrt(weight) / max(float(of_others.std()), 1e-6)
    direction = scale * separate.coef_[0] / deviation
    offset = mean @ direction + scale * (np.quantile(of_others, USUAL) - separate.intercept_)
    arrays = direction[:, None], offset, np.ones(1), np.full(1, LARGEST), np.zeros(1)
    return Distance(*(array.astype(np.float32) for array in arrays))


def _centre(known: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation `[D]` of statistics `[n, D]`, the deviation of a channel that is always off above 0."""
    mean, deviation = known.mean(axis=0, dtype=np.float64), known.std(axis=0, dtype=np.float64)
    return mean, np.maximum(deviation, 1e-3 * max(float(deviation.max()), 1e-6))


def _distance(known: NDArray[np.float32], wrong: NDArray[np.float32] | None) -> Distance:
    mean, deviation = _centre(known)
    scaled = (known - mean) / deviation
    form = _precision(scaled)
    if wrong is not None:
        form = form - _precision((wrong - mean) / deviation)
    values, vectors = np.linalg.eigh(form)
    kernel = vectors * np.sqrt(np.abs(values))
    caps = np.where(values < 0, np.quantile(np.square(scaled @ kernel), CAPPED, axis=0), LARGEST)
    kernel = kernel / deviation[:, None]
    arrays = kernel, mean @ kernel, np.where(values < 0, -1, 1), caps, np.full(len(values), -LARGEST)
    return Distance(*(array.astype(np.float32) for array in arrays))


def _precision(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of the second moments about 0, with `SHRINKAGE`, of `[n, D]` of about unit size: `[D, D]`."""
    size = np.sqrt(np.maximum(np.mean(np.square(part), axis=0), 0.01))  # of channels that are nearly off in all of them
    values, vectors = np.linalg.eigh((part / size).T @ (part / size) / len(part))
    whitening = vectors / np.sqrt(np.maximum(values, 0) + SHRINKAGE) / size[:, None]
    return np.asarray(whitening @ whitening.T)


def statistics_of(network: keras.Model) -> dict[str, Any]:
    """Return mean and deviation of each channel of the layers of a network that are compared.

    A tensor `[N, 2 C]` for each layer, or `[N, C]` if its map has one place, by the name of an output; none if the
    layers of the network are not known.
    """
    found = {}
    for number, layer in enumerate(compared_of(network), start=1):
        values = network.get_layer(layer).output
        mean = ops.mean(values, axis=(1, 2), keepdims=True)
        parts = [mean]
        if values.shape[1:3] != (1, 1):  # one place has no deviation, and TensorFlow's optimizer loses its shape
            parts.append(ops.sqrt(ops.mean(ops.square(values - mean), axis=(1, 2), keepdims=True)))
        name = f"{STATISTICS}{number}"
        found[name] = layers.Flatten(dtype="float32", name=name)(ops.concatenate(parts, axis=-1))
    return found


def among(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statistics among the outputs of a model, in the order of their layers; empty if there are none."""
    return {name: outputs[name] for name in sorted(outputs) if name.startswith(STATISTICS)}


def distance_of(outputs: Mapping[str, Any], reference: Reference) -> Any:
    """Return the distance `[N, 1]` of the statistics among `outputs`, by layers that hold its kernels."""
    found = []
    for (name, statistics), distance in zip(among(outputs).items(), reference.layers, strict=True):
        kernel, offset, signs, caps, floors = distance
        terms = _dense(statistics, name.replace(STATISTICS, WHITEN), kernel, -offset)
        squares = ops.square(ops.maximum(terms, floors) if (floors == 0).any() else terms)
        added = squares if (signs > 0).all() else ops.minimum(squares, caps) * signs
        found.append(ops.sum(added, axis=1, keepdims=True))
    return sum(found[1:], found[0])


def whitening_layers(model: keras.Model) -> list[keras.Layer]:
    """Return the layers of an inference model that take the statistics `[N, D]`; empty if it has no familiarity."""
    return [layer for layer in model.layers if layer.name.startswith(WHITEN)]


def familiarity_of(distance: Any, reference: Reference) -> Any:
    """Return the familiarity `[N, 1]`, 0 to 1, of distances `[N, 1]`: one minus the mean of a ramp at each level."""
    slopes, offsets = ramps(reference.levels)
    ramped = layers.ReLU(max_value=1.0, dtype="float32", name="ramps")(_dense(distance, "ranks", slopes, offsets))
    share = 1 - ops.mean(ramped, axis=1, keepdims=True)
    return layers.Activation("linear", dtype="float32", name=FAMILIARITY)(share)


def _dense(x: Any, name: str, kernel: NDArray[np.float32], offset: NDArray[np.float32]) -> Any:
    layer = layers.Dense(kernel.shape[1], dtype="float32", name=name)
    x = layer(x)
    layer.set_weights([kernel, offset])
    return x
