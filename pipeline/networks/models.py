"""The networks, as they are trained: grey images in, one logit out.

A *network* maps float32 images `[N, S, S, 1]` with values 0 to 255 to `logit` float32 `[N, heads]`: that of PNEUMONIA,
and with a second head that of VIRUS among pneumonias. `pipeline.networks.inference_model` makes of it what is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
from keras import layers

from pipeline.config import ModelConfig
from pipeline.networks import efficientnet_lite, inception_v3, lungs, own_model
from pipeline.networks.depthwise_gradients import DepthwiseConv
from pipeline.networks.fused_batch_norm import FusedNormalization
from pipeline.networks.inference_model import LOGIT, POOL
from pipeline.networks.standardization import standardized
from pneumo_tfds.program.files import sha256_of

# Of `compact`: filters of the first convolution, which reduces the side to a quarter because large images cost most of
# the time; then filters and number of residual blocks of each stage, which halves the side.
COMPACT_STEM = 32
COMPACT_STAGES = ((64, 1), (96, 2), (192, 1))
# The study's network: four 3 x 3 convolutions, each followed by 2 x 2 max pooling, then one hidden layer.
STUDY_FILTERS, STUDY_HIDDEN = (32, 64, 128, 128), 512


def build(config: ModelConfig, image_size: int, precision: str = "float32", *, fused: bool = False) -> keras.Model:
    """Build the network that `config` names, with fresh (or pretrained) weights.

    Args:
        config: which network, and its dropout, L1 and L2 lambdas.
        image_size: side S of the images, pixels.
        precision: Keras dtype policy of the layers; variables and the logit are always float32.
        fused: normalize batches by TensorFlow's fused kernels, and compute gradients of depthwise convolutions by ours,
            for training on a CPU. The weights are the same, but the network is not to be saved.

    Returns:
        A model from float32 `[N, S, S, 1]`, 0 to 255, to `logit` float32 `[N, heads]`.

    Raises:
        InputError: the pretrained weights are of another network, or (`WeightsError`) not available.
    """
    if (own := config.own) is not None:
        with _dtype_policy(precision):
            return own_model.build(own, config, image_size)
    normalization = FusedNormalization if fused else layers.BatchNormalization
    depthwise = DepthwiseConv if fused else layers.DepthwiseConv2D
    bodies: dict[str, Callable[[Any, ModelConfig], Any]] = {
        "compact": partial(_compact, normalization=normalization),
        "study": _study,
        "inception_v3": _inception_v3,
    }
    lite = efficientnet_lite.VARIANTS.get(config.model)
    if lite:
        bodies[lite.name] = partial(_efficientnet_lite, lite, normalization=normalization, depthwise=depthwise)
    with _dtype_policy(precision):
        image = keras.Input((image_size, image_size, 1), dtype="float32", name="image")
        x = lungs.seen(image, lungs.side_of(image_size)) if config.crops else image
        x = standardized(x) if config.normalize else layers.Rescaling(1 / 255, name="scale")(x)
        x = bodies[config.model](x, config)
        logit = layers.Dense(config.heads, kernel_regularizer=_penalty(config), dtype="float32", name=LOGIT)(x)
        network = keras.Model(image, logit, name=config.model)
    if lite and config.start != "none":
        given = efficientnet_lite.imagenet_weights(lite) if config.start == "imagenet" else Path(config.start)
        efficientnet_lite.load(network, lite, given)
        efficientnet_lite.free_last(network, lite, config.free_blocks)
    return network


@contextmanager
def _dtype_policy(precision: str) -> Iterator[None]:
    outer = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(outer)


def check_own(config: ModelConfig, image_size: int) -> None:
    """Check that a network of the user can be exported, before it is trained; nothing is done for one of ours.

    Raises:
        InputError: it cannot; the message says why, and names the layer.
    """
    if (own := config.own) is not None:
        own_model.check_export(own.name, build(config, image_size))


def pretrained(config: ModelConfig) -> dict[str, str]:
    """Return what a network starts from: `name`, and of a file `license` and `sha256`, as far as they are known.

    A file of the user is not named, as its path may name a person. What Keras downloads, Keras checks itself.
    """
    if config.own is not None:
        return {"name": f"whatever {config.model} starts from", "module_sha256": config.module_sha256}
    if config.start == "none":
        return {"name": "none: random weights"}
    if config.start == "imagenet" and config.model == "inception_v3":
        return {"name": "inception_v3 on ImageNet, downloaded by Keras", "license": "Apache-2.0"}
    if config.start == "imagenet":
        lite = efficientnet_lite.VARIANTS[config.model]
        path, known = efficientnet_lite.imagenet_weights(lite), lite.origin
    else:
        path, known = Path(config.start), {"name": "a file of the user", "license": "unknown"}
    return {**known, "sha256": sha256_of(path)}


def float32_copy(network: keras.Model, config: ModelConfig) -> keras.Model:
    """Return a copy of a network in float32, weights included: the one that is evaluated, saved and exported."""
    copy = build(replace(config, pretrained_weights="none"), network.input_shape[1])
    copy.set_weights(network.get_weights())
    return copy


def _penalty(config: ModelConfig) -> keras.Regularizer | None:
    return keras.regularizers.L1L2(l1=config.l1, l2=config.l2) if config.l1 or config.l2 else None


def _pooled(x: Any, config: ModelConfig) -> Any:
    x = layers.Activation("linear", dtype="float32", name="features")(x)
    x = layers.GlobalAveragePooling2D(dtype="float32", name=POOL)(x)
    return layers.Dropout(config.dropout, name="dropout")(x)


def _compact(x: Any, config: ModelConfig, normalization: type[layers.BatchNormalization]) -> Any:
    """Apply a residual CNN (He et al. 2016, blocks of two 3 x 3 convolutions), a few milliseconds an image on a CPU."""

    def convolve(x: Any, filters: int, side: int, stride: int, name: str) -> Any:
        x = layers.Conv2D(
            filters, side, stride, padding="same", use_bias=False, kernel_initializer="he_normal",
            kernel_regularizer=_penalty(config), name=f"{name}_conv",
        )(x)  # fmt: skip
        return normalization(momentum=0.9, name=f"{name}_norm")(x)

    def wide(filters: int) -> int:
        return max(8, 8 * round(filters * config.width / 8))

    x = layers.Activation("relu", name="stem_relu")(convolve(x, wide(COMPACT_STEM), 7, 4, "stem"))
    for stage, (narrow, blocks) in enumerate(COMPACT_STAGES, start=1):
        filters = wide(narrow)
        for block in range(1, blocks * config.depth + 1):
            name, stride = f"stage{stage}_block{block}", 2 if block == 1 else 1
            shortcut = x
            if stride == 2:
                shortcut = layers.AveragePooling2D(2, padding="same", name=f"{name}_shrink")(x)
                shortcut = convolve(shortcut, filters, 1, 1, f"{name}_shortcut")
            x = layers.Activation("relu", name=f"{name}_relu1")(convolve(x, filters, 3, stride, f"{name}_1"))
            x = layers.Add(name=f"{name}_add")([convolve(x, filters, 3, 1, f"{name}_2"), shortcut])
            x = layers.Activation("relu", name=f"{name}_relu2")(x)
    return _pooled(x, config)


def _study(x: Any, config: ModelConfig) -> Any:
    """Apply the study's own network, with dropout and penalties. It ends in a dense layer, so it has no heat map."""
    for block, filters in enumerate(STUDY_FILTERS, start=1):
        x = layers.Conv2D(
            filters, 3, activation="relu", kernel_regularizer=_penalty(config), name=f"block{block}_conv"
        )(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    return layers.Dense(STUDY_HIDDEN, activation="relu", kernel_regularizer=_penalty(config), name="hidden")(x)


def _inception_v3(x: Any, config: ModelConfig) -> Any:
    """Apply InceptionV3 to three equal channels, from -1 to 1 where images are not normalized."""
    colour = layers.Concatenate(name="grey_to_rgb")([x, x, x])
    if not config.normalize:
        colour = layers.Rescaling(2.0, offset=-1.0, name="to_signed")(colour)  # its ImageNet weights expect -1 to 1
    features = inception_v3.feature_map(colour, config.start, config.free_blocks, lambda: _penalty(config))
    return _pooled(features, config)


def _efficientnet_lite(
    variant: efficientnet_lite.Variant,
    x: Any,
    config: ModelConfig,
    normalization: type[layers.BatchNormalization],
    depthwise: type[layers.DepthwiseConv2D],
) -> Any:
    """Apply a variant of EfficientNet-Lite to one grey channel, scaled to the range of its ImageNet training."""
    if config.normalize:
        scale, offset = efficientnet_lite.IMAGENET_DEVIATION, efficientnet_lite.IMAGENET_MEAN
    else:
        scale = 255 / efficientnet_lite.DEVIATION
        offset = -efficientnet_lite.MEAN / efficientnet_lite.DEVIATION
    x = layers.Rescaling(scale, offset=offset, name="as_imagenet")(x)
    features = efficientnet_lite.feature_map(x, variant, lambda: _penalty(config), normalization, depthwise)
    return _pooled(features, config)
