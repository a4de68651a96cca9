"""The values of an exported graph that are decided after training: the calibration, and the levels of familiarity."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.graph.canonical import canonical
from export.inference.content_digest import sealed
from export.inference.onnx_metadata import ModelFileError
from pipeline.networks.familiarity_levels import LEVELS, ramps


class CalibratedGraph:
    """An exported graph, whose logits and distances can be asked for and whose calibration can be replaced.

    `probability` is the sigmoid of the logit times a scalar plus a scalar. Where these two are not in the graph, the
    logit is what the sigmoid gets. `familiarity` is a mean of ramps of the distance; a file of version 1 has none.

    Raises:
        ModelFileError: the probability is not a sigmoid in float32, or the familiarity is computed in another way.
    """

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self.model, self._name = copy.deepcopy(model), name
        graph = self.model.graph
        self._makers = {output: node for node in graph.node for output in node.output}
        self._values = {tensor.name: tensor for tensor in graph.initializer}
        self._outputs = [output.name for output in graph.output]
        self.props = {entry.key: entry.value for entry in self.model.metadata_props}
        self.scale, self.offset = 1.0, 0.0
        """What the logit is multiplied by, and what is added to it then."""
        sigmoid = self._makers["probability"]
        if sigmoid.op_type != "Sigmoid":
            how = "as a float16 file does; give the float32 or the int8 file"
            raise ModelFileError(f"{name} computes its probability by {sigmoid.op_type}, {how}")
        self._sigmoid = sigmoid
        self.logit = sigmoid.input[0]
        """Name of the tensor `[N, 1]`."""
        if (constant := self._scalar(self.logit, "Add")) is not None:
            self.logit, self.offset = constant
        if (constant := self._scalar(self.logit, "Mul")) is not None:
            self.logit, self.scale = constant
        self.distance: str | None = None
        """Name of the tensor `[N, 1]`; None if the file has no familiarity."""
        self._levels: list[tuple[onnx.NodeProto, int]] = []
        """The two places, a node and the number of its input, where slopes and offsets of the ramps are used."""
        if "familiarity" in self._outputs:
            places = [(node, place) for node in self._before("familiarity") for place in range(len(node.input))]
            found = [
                [(node, place) for node, place in places if self._dims(node.input[place]) == dims]
                for dims in ([1, LEVELS], [LEVELS])
            ]
            if [len(uses) for uses in found] != [1, 1]:
                raise ModelFileError(f"{name} has no levels of familiarity that are known here; export the run again")
            self._levels = [use for (use,) in found]
            self.distance = self._levels[0][0].input[0]

    def probe(self) -> bytes:
        """Return the file with the logit and the distance as outputs too."""
        model = copy.deepcopy(self.model)
        for tensor in filter(None, (self.logit, self.distance)):
            model.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, ["N", 1]))
        return bytes(model.SerializeToString())

    def with_values(
        self, temperature: float, bias: float, levels: NDArray[np.float32] | None, props: Mapping[str, str]
    ) -> bytes:
        """Return the file with other values.

        Args:
            temperature: the logit is divided by it.
            bias: added to the logit after that.
            levels: of the familiarity; None leaves those that are there.
            props: the metadata.
        """
        model = CalibratedGraph(self.model, self._name)
        model._add("recalibrated_scale", np.float32(1 / temperature))
        model._add("recalibrated_offset", np.float32(bias))
        nodes = model.model.graph.node
        nodes.append(onnx.helper.make_node("Mul", [self.logit, "recalibrated_scale"], ["scaled"]))
        nodes.append(onnx.helper.make_node("Add", ["scaled", "recalibrated_offset"], ["calibrated"]))
        model._sigmoid.input[0] = "calibrated"
        if levels is not None:
            names = ("recalibrated_slopes", "recalibrated_offsets")
            for name, value, (node, place) in zip(names, ramps(levels), model._levels, strict=True):
                node.input[place] = name
                model._add(name, value)
        # Nodes and weights that nothing needs any more are dropped, and all get the names that an export gives them.
        return sealed(canonical(model.model, self._outputs, props))

    def _add(self, name: str, value: Any) -> None:
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))

    def _scalar(self, tensor: str, kind: str) -> tuple[str, float] | None:
        """Return input and constant of the node that makes a tensor, if it is an operation with a scalar."""
        node = self._makers.get(tensor)
        if node is None or node.op_type != kind or node.input[1] not in self._values:
            return None
        constant = self._values[node.input[1]]
        return (node.input[0], float(numpy_helper.to_array(constant))) if not constant.dims else None

    def _before(self, tensor: str) -> Iterator[onnx.NodeProto]:
        """Yield the nodes behind a tensor, the last first, as long as each has one input that is computed."""
        while (node := self._makers.get(tensor)) is not None:
            yield node
            computed = [name for name in node.input if name in self._makers]
            if len(computed) != 1:
                return
            tensor = computed[0]

    def _dims(self, name: str) -> list[int] | None:
        return list(self._values[name].dims) if name in self._values else None
