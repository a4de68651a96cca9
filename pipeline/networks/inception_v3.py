"""InceptionV3 (Szegedy et al. 2016) as Keras provides it, with its ImageNet weights or those of a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any
from urllib.error import URLError

import keras
from keras import layers

from pipeline.config import WeightsError
from pneumo_tfds.program.errors import InputError

BLOCKS = 11  # mixed0 to mixed10


def feature_map(
    x: Any, weights: str, free_blocks: int, penalty: Callable[[], keras.Regularizer | None] = lambda: None
) -> Any:
    """Apply the backbone; without weights all of it is trained, else its last `free_blocks` and never normalization.

    Args:
        x: Keras tensor `[N, S, S, 3]`, around -1 to 1. S is at least 75.
        weights: `none`, `imagenet` or the path of a file.
        free_blocks: 0 to 11.
        penalty: makes the regularizer of each kernel; that of a kernel which is not trained counts for nothing.

    Raises:
        InputError: the file is missing or of another network, or (`WeightsError`) the weights cannot be downloaded.
    """
    network = backbone(tuple(x.shape[1:]), weights)
    network.trainable = weights == "none" or free_blocks > 0
    if network.trainable and weights != "none":
        last_frozen = f"mixed{BLOCKS - free_blocks - 1}"
        learning = free_blocks == BLOCKS
        for layer in network.layers:
            layer.trainable = learning and not isinstance(layer, layers.BatchNormalization)
            learning = learning or layer.name == last_frozen
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D):  # Keras makes them without one
            layer.kernel_regularizer = layer.kernel.regularizer = penalty()
    return network(x)


def backbone(shape: tuple[int, int, int], weights: str) -> keras.Model:
    """Return the network without its top; see `feature_map`."""
    given = None if weights == "none" else weights
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # all that Keras does about a file of another network
            return keras.applications.InceptionV3(include_top=False, weights=given, input_shape=shape)
    except Exception as error:
        # Keras raises a bare Exception for a failed download, and ValueError or OSError for a missing or other file.
        if given == "imagenet" and isinstance(error.__context__, URLError):
            raise WeightsError(
                f"the ImageNet weights of InceptionV3 could not be downloaded ({error.__context__}); "
                "give a local file by --pretrained-weights PATH, or none"
            ) from error
        if given is not None and isinstance(error, (ValueError, OSError, UserWarning)):
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"--pretrained-weights {given} holds no InceptionV3 weights without top ({reason}); "
                "give another file, imagenet or none"
            ) from error
        raise
