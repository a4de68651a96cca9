"""Networks of the user as networks of this project: one logit, a heat map where they end in global average pooling.

What the user's function returns is copied layer by layer, with its weights, into one flat functional model. A model
inside it, such as a backbone of `keras.applications`, is opened, so that its feature maps can be compared for
familiarity. Then everything that is done with a network of ours can be done with it.
"""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from pipeline.config import ModelConfig
from pipeline.config.own_network import PASSED, PREFIX, OwnNetwork, read_argument, what_failed
from pipeline.conversion.onnx_function import UnknownOpError, by_onnxruntime
from pipeline.networks.inference_model import LOGIT, POOL, inference_model
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.progress import stage

IMAGE = "image"
LARGEST_DIFFERENCE = 1e-4
"""Difference of a probability of the untrained network between Keras and onnxruntime; once trained, 1e-5 is allowed."""
PROBES = 4  # images
NOT_CONFIGURED = (ValueError, TypeError, KeyError, NotImplementedError)
"""What Keras raises where a layer does not tell how it was made."""


def build(own: OwnNetwork, config: ModelConfig, image_size: int) -> keras.Model:
    """Call the user's function, check what it returns, and copy that.

    Args:
        own: the function.
        config: its arguments, and those settings of the run that it takes.
        image_size: side S of the images, pixels.

    Returns:
        A model from float32 `[N, S, S, 1]`, grey levels 0 to 255, to `logit` float32 `[N, 1]`.

    Raises:
        InputError: the function raises, or returns something else.
    """
    passed = {name: getattr(config, name) for name in PASSED if name in own.defaults}
    passed |= dict(map(read_argument, config.arguments))
    try:
        model = own.function(image_size=image_size, **passed)
    except Exception as error:
        file = Path(inspect.getfile(own.function))
        raise InputError(f"--model {own.name} failed: {what_failed(error, file)}") from error
    if fault := _fault(model, image_size):
        raise InputError(f"--model {own.name} {fault}")
    try:
        flat = _flat(model)
        if fault := _fault_of_layers(flat):
            raise InputError(f"--model {own.name} {fault}")
        return _copied(flat, image_size, f"{PREFIX}{own.function.__name__}")
    except NOT_CONFIGURED as error:
        if isinstance(error, InputError):
            raise
        remedy = "give layers of your own a get_config() with all arguments of __init__"
        raise InputError(f"--model {own.name} cannot be copied ({reason_of(error):.200}); {remedy}") from error


def _fault(model: Any, side: int) -> str:
    """Return what is wrong unless it is an uncompiled functional or sequential model from images to one number."""
    begin = "begin it with keras.Input((image_size, image_size, 1))"
    if not isinstance(model, keras.Model):
        return f"returns {type(model).__name__}, not a keras.Model; return the model"
    if not _is_graph(model):
        return "returns a subclassed model; build it by keras.Model(inputs, outputs) or keras.Sequential"
    if model.compiled:
        return "returns a compiled model; leave compile out, because loss and optimizer are those of the run"
    if not getattr(model, "inputs", None):
        return f"returns a model without an input; {begin}"
    inputs, outputs = ([tuple(each.shape) for each in part] for part in (model.inputs, model.outputs))
    if inputs not in ([(None, side, side, 1)], [(None, None, None, 1)]):
        return f"takes {_shown(inputs)}, not one batch of grey images [N, {side}, {side}, 1]; {begin}"
    if outputs != [(None, 1)]:
        return f"gives {_shown(outputs)}, not one logit [N, 1]; end it with keras.layers.Dense(1)"
    return ""


def _is_graph(model: Any) -> bool:
    """Return whether it is a functional or sequential model, whose layers are known."""
    return isinstance(model, keras.Sequential) or hasattr(model, "operations")


def _shown(shapes: list[tuple[int | None, ...]]) -> str:
    return " and ".join(str(["N" if size is None else size for size in shape]).replace("'", "") for shape in shapes)


def _fault_of_layers(flat: keras.Model) -> str:
    """Return what is wrong if the network ends in a probability, or holds code that is not saved."""
    last = flat.operations[-1]
    activation = keras.activations.serialize(getattr(last, "activation", None) or keras.activations.linear)
    end = type(last).__name__.lower() if type(last).__name__ in ("Sigmoid", "Softmax") else activation
    if end != "linear":
        return f"ends in {end} (layer {last.name}), but its output has to be a logit; leave the activation out"
    coded = [each.name for each in flat.layers if isinstance(each, layers.Lambda)]
    for layer in flat.layers:
        kind = type(layer)
        known = keras.saving.get_registered_object(keras.saving.get_registered_name(kind)) is kind
        if not (known or kind.__module__.partition(".")[0] == "keras"):
            wrong = f"has the layer {layer.name} of the class {kind.__name__}, which Keras does not find when it loads"
            return f"{wrong} a saved model; put @keras.saving.register_keras_serializable() before the class"
    if coded:
        return f"has the Lambda layer {coded[0]}, which is code and cannot be saved; use keras.ops or a Layer class"
    return ""


def _flat(model: keras.Model) -> keras.Model:
    """Return a functional model of the same layers, those of models inside it included."""
    functional = keras.Model(model.inputs[0], model.outputs[0])
    return keras.models.clone_model(functional, clone_function=lambda layer: layer, call_function=_opened)


def _opened(layer: Any, *args: Any, **keywords: Any) -> Any:
    """Call a layer of a model; if it is a model itself, call its layers in its place."""
    return layer.call(*args, **keywords) if _is_graph(layer) else layer(*args, **keywords)


def _copied(flat: keras.Model, side: int, name: str) -> keras.Model:
    """Return a copy, weights included, whose logit and global average pooling have our names."""
    ours = _our_names(flat)
    copies: list[tuple[Any, Any]] = []
    taken = {IMAGE, POOL, LOGIT}

    def copy(layer: Any) -> Any:
        config = layer.get_config()
        if layer in ours:
            config |= {"name": ours[layer], "dtype": "float32"}
        elif layer.name in taken:
            config["name"] = f"{layer.name}_{len(taken)}"
        taken.add(config.get("name", layer.name))
        copies.append((type(layer).from_config(config), layer))
        return copies[-1][0]

    image = keras.Input((side, side, 1), dtype="float32", name=IMAGE)
    logit = keras.models.clone_model(flat, input_tensors=image, clone_function=copy).output
    network = keras.Model(image, logit, name=name)
    if LOGIT not in ours.values():
        network = keras.Model(image, layers.Activation("linear", dtype="float32", name=LOGIT)(logit), name=name)
    for made, original in copies:
        if isinstance(made, layers.Layer):  # not an operation without weights
            made.set_weights(original.get_weights())
    return network


def _our_names(flat: keras.Model) -> dict[Any, str]:
    """Return which layers are the logit and the global average pooling before it."""
    last, *before = reversed(flat.operations)  # by their distance from the output: a chain up to the pooling
    if not isinstance(last, layers.Dense):
        return {}
    pool = next((each for each in before if not isinstance(each, layers.Dropout | layers.Flatten)), None)
    pooled = isinstance(pool, layers.GlobalAveragePooling2D) and pool.data_format == "channels_last"
    return {last: LOGIT, pool: POOL} if pooled else {last: LOGIT}


def check_export(name: str, network: keras.Model) -> None:
    """Save, load and convert an untrained network of the user, and compare answers for a few images with Keras's.

    Args:
        name: the value of `--model`.
        network: from `build`, float32.

    Raises:
        InputError: it could not be exported after training; the message names the layer.
    """
    with stage("Checking that the network can be exported"), tf.device("CPU:0"):
        model = _saved_and_loaded(name, inference_model(network))
        signature = tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8, name=IMAGE)
        infer = tf.function(lambda image: model(image, training=False), input_signature=[signature])
        try:
            converted = by_onnxruntime(infer, signature)
        except UnknownOpError as error:
            known, parts = {layer.name for layer in network.layers}, error.place.split("/")
            found = [each for part in parts for each in (part, part.rpartition("_")[0]) if each in known]
            where = f"its layer {found[-1]}" if found else error.place
            remedy = "which an ONNX file cannot hold; use other operations"
            raise InputError(f"--model {name} cannot be exported: {where} computes {error.kind}, {remedy}") from error
        except InputError as error:
            raise InputError(f"--model {name} cannot be exported: {error}") from error
        images = np.random.default_rng(0).integers(0, 256, (PROBES, *network.input_shape[1:]), np.uint8)
        expected = infer(tf.constant(images))["probability"].numpy()
        gap = float(np.abs(converted(images)["probability"] - expected).max())
    if not gap <= LARGEST_DIFFERENCE:
        cause = "a layer is random at inference, or is not converted as it computes"
        raise InputError(f"--model {name} cannot be exported: its ONNX file answers {gap:.2g} away from Keras; {cause}")


def _saved_and_loaded(name: str, model: keras.Model) -> keras.Model:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "model.keras")
        try:
            model.save(file)
            return keras.models.load_model(file, compile=False, safe_mode=True)
        except NOT_CONFIGURED as error:
            remedy = "give layers of your own get_config() and @keras.saving.register_keras_serializable()"
            raise InputError(
                f"--model {name} cannot be saved and loaded ({reason_of(error):.200}); {remedy}"
            ) from error
