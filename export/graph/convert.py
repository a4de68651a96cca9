"""A Keras inference model as an ONNX model: float32 whatever it was trained in, opset 18, dynamic batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.quiet import quiet_tensorflow

if TYPE_CHECKING:
    import numpy as np
    import onnx

OPSET = 18
INPUT = "image"
OUTPUTS = ("probability", "heatmap")
REDUCED = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")


def load_keras(path: Path) -> Any:
    """Load a run's inference model onto the CPU, safely: nothing in the file is run as code.

    Raises:
        InputError: the file is missing, damaged, or holds a Lambda layer or another thing safe loading refuses.
    """
    quiet_tensorflow()
    import tensorflow as tf

    from pipeline.run_folder.model_file import load_model

    with tf.device("CPU:0"):
        return load_model(path)


def float32_copy(model: Any) -> Any:
    """The same model with every layer computing in float32 and the same weights.

    A mixed_bfloat16 graph converts to a file onnxruntime rejects, and a mixed_float16 one loses digits. A model that
    is float32 throughout is returned as it is.
    """
    import keras
    import tensorflow as tf

    serialized = keras.saving.serialize_keras_object(model)
    rewritten = _in_float32(serialized)
    if rewritten == serialized:
        return model
    with tf.device("CPU:0"):
        copy = keras.saving.deserialize_keras_object(rewritten, safe_mode=True)
        copy.set_weights(
            [weight.astype("float32") if weight.dtype.kind not in "iub" else weight for weight in model.get_weights()]
        )
    return copy


def image_side(model: Any) -> int:
    """Side S of the square input of a model that keeps our contract.

    Raises:
        InputError: the model has another input than [N, S, S, 1], or no output named probability.
    """
    shape = tuple(getattr(model, "input_shape", ()))
    if len(shape) != 4 or shape[3] != 1 or shape[1] is None or shape[1] != shape[2]:
        raise InputError(f"the model takes {shape}, not [N, S, S, 1] grey images of a fixed size S; export another run")
    if not isinstance(model.output, Mapping) or "probability" not in model.output:
        raise InputError("the model has no output named probability; export the inference model (model.keras of a run)")
    return int(shape[1])


def output_names(model: Any) -> tuple[str, ...]:
    """Which of our outputs the model has, in the order the ONNX file has them."""
    return tuple(name for name in OUTPUTS if name in model.output)


def reference(model: Any) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Keras's own answer in float32 on the CPU, as a function of uint8 images [N, S, S, 1].

    On the CPU because a GPU may multiply in TensorFloat-32, whose answers differ from float32 in the fourth digit.
    """
    import tensorflow as tf

    names = output_names(model)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def call(images: Any) -> dict[str, Any]:
        outputs = model(images, training=False)
        return {name: outputs[name] for name in names}

    def answer(images: np.ndarray) -> dict[str, np.ndarray]:
        with tf.device("CPU:0"):
            return {name: value.numpy() for name, value in call(tf.constant(images)).items()}

    return answer


def to_onnx(model: Any, props: Mapping[str, str], *, widened: bool = True) -> onnx.ModelProto:
    """Convert a float32 inference model.

    Args:
        model: takes `[N, S, S, 1]`, returns a dict with `probability` float32 `[N, 1]` and maybe `heatmap` `[N, h, w]`.
        props: metadata to write into the file.
        widened: bring feature maps to whole blocks of channels (`export.graph.channels`): 4 % faster in float32 with
            AVX-512, 6 % slower in int8, which has other kernels.

    Returns:
        A checked ONNX model in canonical form: converting equal weights again gives equal bytes.

    Raises:
        InputError: the model breaks the contract or holds ops that cannot be exported.
    """
    import tensorflow as tf
    import tf2onnx

    from export.graph.canonical import canonical
    from export.graph.channels import widen
    from export.graph.simplify import simplify

    side, names = image_side(model), output_names(model)
    signature = [tf.TensorSpec((None, side, side, 1), tf.uint8, name=INPUT)]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def infer(image: Any) -> dict[str, Any]:
        outputs = model(image, training=False)
        return {name: outputs[name] for name in names}

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:
        with tf.device("CPU:0"):
            converted, _ = tf2onnx.convert.from_function(infer, input_signature=signature, opset=OPSET)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"tf2onnx cannot convert the model: {' '.join(str(error).split()):.300}") from error
    simplify(converted)
    if widened:
        widen(converted.graph)
    return canonical(converted, names, props)


def _in_float32(value: Any) -> Any:
    """A serialized Keras object with every floating dtype and dtype policy replaced by float32."""
    if isinstance(value, list | tuple):
        return type(value)(_in_float32(entry) for entry in value)
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "DTypePolicy" and value["config"]["name"] in REDUCED:
        return {**value, "config": {**value["config"], "name": "float32"}}
    return {
        key: "float32" if key == "dtype" and isinstance(entry, str) and entry in REDUCED else _in_float32(entry)
        for key, entry in value.items()
    }
