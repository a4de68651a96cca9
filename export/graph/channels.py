"""Widening feature maps to whole blocks of channels, so that onnxruntime keeps them in its fast layout.

onnxruntime computes convolutions on blocks of 16 channels (8 without AVX-512). A map of 24 channels is computed as 32
anyway, then cut back to 24 and brought into the slow layout for a pooling or an addition, and back again for the next
convolution. Here such maps get channels that are zero throughout: no sum changes but by adding zeros.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt
import onnx

BLOCK = 16
"""Channels."""

_ZERO_STAYS_ZERO = frozenset({"Relu", "Clip", "MaxPool", "AveragePool", "Add"})
"""Channel by channel, and with zeros in only zeros out (for Clip, if its range holds zero)."""


class _Maps:
    """Which tensors must have the same number of channels: union by name."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, name: str) -> str:
        while self._parent.setdefault(name, name) != name:
            name = self._parent[name]
        return name

    def join(self, names: list[str]) -> None:
        for name in names[1:]:
            self._parent[self.root(name)] = self.root(names[0])


def widen(graph: onnx.GraphProto, block: int = BLOCK) -> None:
    """Pad with zero weights every map between convolutions whose channels are above `block` and no multiple of it.

    In place, on a float32 graph whose batch normalisations have been folded into the convolutions. Maps that anything
    else than convolutions, activations, poolings and additions touches are left alone.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    maps, fixed = _Maps(), {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in weights and _ours(node, weights):
            if _group(node) > 1:
                maps.join([node.input[0], node.output[0]])
        elif node.op_type in _ZERO_STAYS_ZERO and _keeps_zero(node, weights):
            maps.join([node.output[0], *(name for name in node.input if name and name not in weights)])
        else:
            fixed.update((*node.input, *node.output))
    kept = {maps.root(name) for name in fixed}
    widths: dict[str, set[int]] = defaultdict(set)
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in weights:
            widths[maps.root(node.output[0])].add(int(weights[node.input[1]].dims[0]))
    extra = {
        root: -width % block
        for root, (width, *others) in widths.items()
        if root not in kept and not others and width > block and width % block
    }
    _pad(graph, weights, maps, extra)


def _pad(graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto], maps: _Maps, extra: dict[str, int]) -> None:
    for number, node in enumerate(graph.node):
        if node.op_type != "Conv" or node.input[1] not in weights:
            continue
        before, after = extra.get(maps.root(node.input[0]), 0), extra.get(maps.root(node.output[0]), 0)
        if not before and not after:
            continue
        values = onnx.numpy_helper.to_array(weights[node.input[1]])
        grouped = _group(node) > 1
        if grouped:
            next(each for each in node.attribute if each.name == "group").i += after
        parts = [_padded(values, (after, 0 if grouped else before))]
        if len(node.input) > 2:
            parts.append(_padded(onnx.numpy_helper.to_array(weights[node.input[2]]), (after,)))
        for place, part in enumerate(parts, start=1):
            node.input[place] = f"widened_{number}_{place}"
            graph.initializer.append(onnx.numpy_helper.from_array(part, node.input[place]))


def _padded(values: npt.NDArray[np.generic], extra: tuple[int, ...]) -> npt.NDArray[np.generic]:
    return np.pad(values, [(0, more) for more in extra] + [(0, 0)] * (values.ndim - len(extra)))


def _group(node: onnx.NodeProto) -> int:
    return next((int(each.i) for each in node.attribute if each.name == "group"), 1)


def _ours(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    """Whether a convolution is a plain one, or one of a filter for each channel."""
    channels, per_group = weights[node.input[1]].dims[:2]
    constant = len(node.input) < 3 or node.input[2] in weights
    return constant and (_group(node) == 1 or (_group(node) == channels and per_group == 1))


def _keeps_zero(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    constants = [onnx.numpy_helper.to_array(weights[name]) for name in node.input if name in weights]
    if node.op_type == "Clip":
        low, high = ([*constants, None, None])[:2] if len(node.input) > 1 else (None, None)
        return len(constants) == len([n for n in node.input[1:] if n]) and not (
            (low is not None and low > 0) or (high is not None and high < 0)
        )
    return not constants and len(node.output) == 1
