"""InceptionV3 without its 22 million weights: which blocks learn, and the errors of a failed download or wrong file."""

from __future__ import annotations

from urllib.error import URLError

import keras
import numpy as np
import pytest
from keras import layers

from pipeline.config import ModelConfig
from pipeline.networks import inception_v3, models
from pneumo_tfds.program.errors import InputError

SIDE = 80


def small_backbone(shape, weights):
    """Eleven blocks, each a convolution, its normalization and the layer that Keras calls mixed0 to mixed10."""
    image = x = keras.Input(shape)
    for block in range(inception_v3.BLOCKS):
        x = layers.Conv2D(2, 1, use_bias=False, name=f"conv{block}")(x)
        x = layers.BatchNormalization(name=f"norm{block}")(x)
        x = layers.Activation("relu", name=f"mixed{block}")(x)
    return keras.Model(image, layers.AveragePooling2D(16)(x), name="inception_v3")


def learning(monkeypatch, **settings):
    """The convolutions and normalizations that learn."""
    monkeypatch.setattr(inception_v3, "backbone", small_backbone)
    network = models.build(ModelConfig(model="inception_v3", **settings), SIDE)
    backbone = network.get_layer("inception_v3")
    if not backbone.trainable:
        return set()
    return {layer.name for layer in backbone.layers if layer.trainable and layer.weights}


def blocks(*numbers):
    return {f"conv{number}" for number in numbers}


@pytest.mark.parametrize(
    ("free", "expected"), [(0, set()), (1, blocks(10)), (3, blocks(8, 9, 10)), (11, blocks(*range(11)))]
)
def test_the_last_blocks_learn_and_pretrained_normalization_never(monkeypatch, free, expected):
    assert learning(monkeypatch, pretrained_weights="imagenet", fine_tune_blocks=free) == expected


def test_from_random_weights_everything_learns(monkeypatch):
    every = {f"{kind}{block}" for kind in ("conv", "norm") for block in range(11)}
    assert learning(monkeypatch, pretrained_weights="none") == every


@pytest.mark.parametrize(("free", "penalized"), [(0, 0), (3, 3), (11, 11)])
def test_every_kernel_that_learns_is_penalized(monkeypatch, free, penalized):
    monkeypatch.setattr(inception_v3, "backbone", small_backbone)
    given = {"pretrained_weights": "imagenet", "fine_tune_blocks": free}
    network = models.build(ModelConfig(model="inception_v3", l2=0.5, **given), SIDE)
    kernels = [weight.numpy() for weight in network.trainable_variables if weight.name == "kernel"]
    assert len(kernels) == 1 + penalized  # and the last layer
    expected = sum(0.5 * np.sum(np.square(kernel)) for kernel in kernels)
    assert float(sum(network.losses)) == pytest.approx(expected, rel=1e-5)
    plain = models.build(ModelConfig(model="inception_v3", **given), SIDE)
    assert not plain.losses


@pytest.mark.parametrize("normalize", [False, True])
def test_a_network_that_sees_grey_levels_as_they_are_scales_them_itself(monkeypatch, normalize):
    monkeypatch.setattr(inception_v3, "backbone", small_backbone)
    network = models.build(ModelConfig(model="inception_v3", pretrained_weights="none", normalize=normalize), SIDE)
    names = [layer.name for layer in network.layers]
    assert ("to_signed" in names) == (not normalize)


def raising(error, context=None):
    def fail(**_):
        try:
            if context:
                raise context
        finally:
            raise error

    return fail


def test_a_download_that_fails_says_what_else_to_give(monkeypatch):
    failed = raising(Exception("URL fetch failure"), URLError("no route"))
    monkeypatch.setattr(keras.applications, "InceptionV3", failed)
    with pytest.raises(
        InputError, match=r"could not be downloaded \(.*no route.*\); give a local file by --pretrained-weights PATH"
    ):
        inception_v3.backbone((SIDE, SIDE, 3), "imagenet")


@pytest.mark.parametrize("error", [ValueError("axes differ\nand more"), OSError("not HDF5"), UserWarning("skipped")])
def test_a_file_of_other_weights_is_named_with_the_first_line_of_why(monkeypatch, tmp_path, error):
    (tmp_path / "w.h5").write_bytes(b"")
    monkeypatch.setattr(keras.applications, "InceptionV3", raising(error))
    first = str(error).splitlines()[0]
    with pytest.raises(InputError, match=rf"w\.h5 holds no InceptionV3 weights without top \({first}\);"):
        inception_v3.backbone((SIDE, SIDE, 3), str(tmp_path / "w.h5"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"--pretrained-weights .*gone\.h5 holds no InceptionV3 weights"):
        inception_v3.backbone((SIDE, SIDE, 3), str(tmp_path / "gone.h5"))


@pytest.mark.parametrize("weights", ["none", "imagenet"])
def test_an_error_that_is_no_input_error_stays_what_it_is(monkeypatch, weights):
    monkeypatch.setattr(keras.applications, "InceptionV3", raising(RuntimeError("out of memory")))
    with pytest.raises(RuntimeError, match="out of memory"):
        inception_v3.backbone((SIDE, SIDE, 3), weights)
