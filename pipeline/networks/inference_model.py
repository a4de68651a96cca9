"""Networks as models for use: the mean of several, calibration, the class activation map, familiarity and subtype.

A *committee* averages the logits of one or more networks of `pipeline.networks.models`. The *inference model* wraps it
for use: uint8 images in, `probability` out, `heatmap` if the networks end in global average pooling, `familiarity` if
it is known what to compare with, and `subtype` of the second head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from pipeline.networks import familiarity, lungs

POOL, LOGIT = "pool", "logit"  # layers of a network; a heat map needs both
HEATMAP, CALIBRATE, SUBTYPE = "heatmap", "calibrate", "subtype"
CELL = 16  # pixels of an image for each cell of the heat map of a network that looks at the lungs alone


def committee(networks: Sequence[keras.Model], *, flips: bool = False) -> keras.Model:
    """Combine networks into one model that averages their logits.

    Args:
        networks: from `build`, one or more, of one image size; their weights are shared, not copied.
        flips: average over the image and its mirror image too, at twice the cost.

    Returns:
        A model from float32 `[N, S, S, 1]`, 0 to 255, to a dict of `logit` float32 `[N, heads]`, the mean of all
        logits; if every network ends in global average pooling of maps of one size, `heatmap` float32 `[N, h, w]`: the
        class activation map (Zhou et al. 2016) in logit units, whose mean over h and w is the first logit; and, if the
        first network has layers to compare, `statistics1` and so on of them (`pipeline.networks.familiarity`).
    """
    image = keras.Input(networks[0].input_shape[1:], dtype="float32", name="image")
    logits, maps = [], []
    first: dict[str, Any] = {}
    for number, network in enumerate(networks, start=1):
        member = _with_heatmap(network, f"member{number}_{network.name}")
        for view in (image, image[:, :, ::-1]) if flips else (image,):
            output = member(view)
            first = first or output
            logits.append(output[LOGIT])
            if HEATMAP in output:
                maps.append(output[HEATMAP] if view is image else output[HEATMAP][:, :, ::-1])
    outputs = {LOGIT: _mean(logits, LOGIT)}
    if len(maps) == len(logits) and len({tuple(part.shape) for part in maps}) == 1:
        outputs[HEATMAP] = _mean(maps, "relevance")
    outputs |= familiarity.among(first)
    return keras.Model(image, outputs, name="committee" if len(logits) > 1 else networks[0].name)


def scoring_model(network: keras.Model) -> keras.Model:
    """Return a network from `committee` or `build` with only what is scored: all of its outputs but the heat map."""
    outputs = network.output if isinstance(network.output, dict) else {LOGIT: network.output}
    return keras.Model(network.input, {name: output for name, output in outputs.items() if name != HEATMAP})


def calibrated_committee(models: Sequence[keras.Model]) -> keras.Model:
    """Combine inference models into one model that averages their calibrated logits; `inference_model` wraps it again.

    Args:
        models: from `inference_model`, one or more, of one image size; their weights are shared, not copied.

    Returns:
        A model from uint8 `[N, S, S, 1]` to a dict of `logit` float32 `[N, heads]`; if every model has one, `heatmap`
        float32 `[N, h, w]`, whose mean over h and w is the first logit; and the `familiarity` of the first, if it has
        one.
    """
    image = keras.Input(models[0].input_shape[1:], dtype="uint8", name="image")
    members = []
    for number, model in enumerate(models, start=1):
        calibrate = model.get_layer(CALIBRATE)
        outputs = {LOGIT: calibrate.output}
        if SUBTYPE in model.output:
            both = [calibrate.output, model.get_layer(SUBTYPE).input]
            outputs[LOGIT] = layers.Concatenate(dtype="float32", name=LOGIT)(both)
        if HEATMAP in model.output:
            scale, offset = calibrate.scale, calibrate.offset
            outputs[HEATMAP] = layers.Rescaling(scale, offset, dtype="float32", name="calibrate_heatmap")(
                model.output[HEATMAP]
            )
        if familiarity.FAMILIARITY in model.output and number == 1:
            outputs[familiarity.FAMILIARITY] = model.output[familiarity.FAMILIARITY]
        members.append(keras.Model(model.input, outputs, name=f"fold{number}")(image))
    found = {name: [member[name] for member in members] for name in (LOGIT, HEATMAP) if all(name in m for m in members)}
    combined = {name: _mean(parts, f"of_{name}s") for name, parts in found.items()}
    if familiarity.FAMILIARITY in members[0]:
        combined[familiarity.FAMILIARITY] = members[0][familiarity.FAMILIARITY]
    return keras.Model(image, combined, name="folds")


def inference_model(
    network: keras.Model, temperature: float = 1.0, bias: float = 0.0, reference: familiarity.Reference | None = None
) -> keras.Model:
    """Wrap a network for use.

    Args:
        network: from `committee` or `calibrated_committee`, or from `build` in any precision; its weights are shared,
            not copied.
        temperature: the logit is divided by it before the sigmoid (Guo et al. 2017, "On Calibration of Modern Neural
            Networks"); above 0.
        bias: added to the logit after that.
        reference: what images are compared with, with its levels; None leaves the familiarity as the network has it.

    Returns:
        A model from `image` uint8 `[N, S, S, 1]` to a dict of `probability` float32 `[N, 1]`, P(PNEUMONIA); if the
        network has one, `heatmap` float32 `[N, h, w]`, in logit units before calibration; with a reference
        `familiarity` float32 `[N, 1]`, 0 (unlike all that it knows) to 1; and with a second head `subtype` float32
        `[N, 1]`, P(VIRUS) if it is a pneumonia, not calibrated.
    """
    inner = network if isinstance(network.output, dict) else committee([network])
    image = keras.Input(inner.input_shape[1:], dtype="uint8", name="image")
    output = inner(image)  # which casts it to the dtype of its own input, float32
    logit = output[LOGIT] if output[LOGIT].shape[1] == 1 else output[LOGIT][:, :1]
    calibrated = layers.Rescaling(1 / temperature, offset=bias, dtype="float32", name=CALIBRATE)(logit)
    outputs = {"probability": layers.Activation("sigmoid", dtype="float32", name="probability")(calibrated)}
    if HEATMAP in output:
        outputs[HEATMAP] = layers.Activation("linear", dtype="float32", name=HEATMAP)(output[HEATMAP])
    if logit is not output[LOGIT]:
        outputs[SUBTYPE] = layers.Activation("sigmoid", dtype="float32", name=SUBTYPE)(output[LOGIT][:, 1:])
    if reference is not None:
        distance = familiarity.distance_of(output, reference)
        outputs[familiarity.FAMILIARITY] = familiarity.familiarity_of(distance, reference)
    elif familiarity.FAMILIARITY in output:
        as_it_is = layers.Activation("linear", dtype="float32", name=familiarity.FAMILIARITY)
        outputs[familiarity.FAMILIARITY] = as_it_is(output[familiarity.FAMILIARITY])
    return keras.Model(image, outputs, name=f"{inner.name}_inference")


def _with_heatmap(network: keras.Model, name: str) -> keras.Model:
    """Return the network as a model with a dict of outputs: its logit, and heat map and statistics if it has them."""
    outputs = {LOGIT: network.output}
    names = [layer.name for layer in network.layers]
    if POOL in names:
        # The last layer, applied at every position of the feature map instead of to its mean. It is part of the same
        # functional model, because Keras cannot load a layer that two nested models share.
        relevance = network.get_layer(LOGIT)(network.get_layer(POOL).input)[..., 0]
        if lungs.BOX in names:
            relevance = lungs.spread(relevance, network.get_layer(lungs.BOX).output, -(-network.input_shape[1] // CELL))
        outputs[HEATMAP] = layers.Activation("linear", dtype="float32", name=HEATMAP)(relevance)
    return keras.Model(network.input, outputs | familiarity.statistics_of(network), name=name)


def _mean(parts: list[Any], name: str) -> Any:
    return layers.Average(dtype="float32", name=f"mean_{name}")(parts) if len(parts) > 1 else parts[0]
