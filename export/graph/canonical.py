"""Canonical form of an ONNX graph: equal weights give equal bytes.

Converters number their nodes by process-wide counters and iterate over sets, so two conversions of one model differ in
names and order. Here a graph is rebuilt from its outputs, in an order and with names that depend on the graph alone.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence

import onnx

from export.inference.content_digest import KEY
from pneumo_tfds.program.errors import InputError

BATCH = "N"
TRAINING_OPS = frozenset(
    {"Dropout", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"}
)


class GraphError(InputError):
    """Raised for a converted graph with a training op, control flow or an invalid node; it is not exported."""


def canonical(model: onnx.ModelProto, outputs: Sequence[str], props: Mapping[str, str]) -> onnx.ModelProto:
    """Return a checked copy of `model` with canonical order, names and batch dimension, and `props` as metadata.

    Args:
        model: a model without control flow; the first dimension of its inputs and outputs is the batch.
        outputs: names of the outputs to keep, in order; nodes that they do not need are dropped.
        props: content of `metadata_props`; the digest of another file is left out.

    Raises:
        GraphError: an output is missing, the graph has a branch or loop, or onnx's checker rejects the result.
    """
    model = copy.deepcopy(model)
    graph = model.graph
    values = {output.name: output for output in graph.output}
    missing = [name for name in outputs if name not in values]
    if missing:
        raise GraphError(f"the converted model has no output {', '.join(missing)}, only {', '.join(values)}")
    kept = [values[name] for name in outputs]
    nodes = _in_order(graph, outputs)
    weights = _rename(graph, nodes, fixed=[value.name for value in (*graph.input, *kept)])
    for value in (*graph.input, *kept):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    built = onnx.helper.make_graph(nodes, "pneumonia_classifier", graph.input, kept, initializer=weights)
    domains = {node.domain for node in nodes}
    opsets = sorted((o for o in model.opset_import if o.domain in domains), key=lambda opset: opset.domain)
    finished = onnx.helper.make_model(built, opset_imports=opsets, ir_version=model.ir_version, producer_name="pneumo")
    onnx.helper.set_model_props(finished, {key: value for key, value in sorted(props.items()) if key != KEY})
    check(finished)
    return finished


def check(model: onnx.ModelProto) -> None:
    """Check for training ops, and run onnx's checker with full and strict shape inference.

    Raises:
        GraphError: the check failed; the message says why.
    """
    found = sorted({node.op_type for node in model.graph.node} & TRAINING_OPS)
    if found:
        raise GraphError(f"the exported graph has the training ops {', '.join(found)}; remove them from the model")
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"the exported graph is not valid ONNX: {error}") from error


def _in_order(graph: onnx.GraphProto, outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Return the nodes that `outputs` need, each after its inputs.

    Depth first and not by `graphlib`, whose order would put the first convolutions of several networks side by side:
    int8 leaves the first convolutions of the file in float32.
    """
    makers = {name: node for node in graph.node for name in node.output if name}
    ordered: dict[str, onnx.NodeProto] = {}

    def place(tensor: str) -> None:
        node = makers.get(tensor)
        if node is None or node.output[0] in ordered:
            return
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise GraphError(f"the converted graph has a branch or loop ({node.op_type}), which cannot be exported")
        for name in node.input:
            place(name)
        ordered[node.output[0]] = node

    for name in outputs:
        place(name)
    return list(ordered.values())


def _rename(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto], fixed: Sequence[str]) -> list[onnx.TensorProto]:
    """Rename nodes and tensors by kind and number, in place, but for the tensors in `fixed`.

    Returns:
        The weights that the nodes use, in order of use; those of equal type, shape and bytes are one.
    """
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    names = {"": ""} | {name: name for name in fixed}
    weights: dict[bytes, onnx.TensorProto] = {}
    counts: Counter[str] = Counter()
    for node in nodes:
        for name in node.input:
            if name in initializers and name not in names:
                weight = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(initializers[name]))
                weight = weights.setdefault(weight.SerializeToString(deterministic=True), weight)
                weight.name = weight.name or f"weight_{len(weights) - 1}"
                names[name] = weight.name
        kind = node.op_type.lower()
        node.name = f"{kind}_{counts[kind]}"
        counts[kind] += 1
        for number, name in enumerate(node.output):
            names.setdefault(name, node.name if number == 0 else f"{node.name}_{number}")
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        node.doc_string = ""
        node.attribute.sort(key=lambda attribute: attribute.name)
    return list(weights.values())
