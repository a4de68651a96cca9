"""A network of the user becomes one of ours: same answers, a logit, a heat map, a familiarity, and its exact export."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from pipeline.config import ModelConfig
from pipeline.config.own_network import OwnNetwork
from pipeline.networks import familiarity, models, own_model
from pipeline.networks.inference_model import LOGIT, POOL, committee
from pneumo_tfds.program.errors import InputError

SIDE = 48


def images(count=3):
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 1)).astype(np.float32)


def start(side):
    return keras.Input((side, side, 1))


def pooled(image_size, dropout=0.5, width=16):
    image = start(image_size)
    x = layers.Conv2D(width, 3, 4, activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(1)(x))


def flattened(image_size):
    hidden = [layers.Conv2D(8, 3, 4, activation="relu", name="maps"), layers.Flatten(), layers.Dense(1)]
    return keras.Sequential([start(image_size), layers.RandomFlip(), *hidden])


def with_backbone(image_size):
    inner = keras.Input((image_size, image_size, 3))
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(12, 3, 4, name="deep")(inner))
    base = keras.Model(inner, layers.Conv2D(300, 1, name="wide")(x), name="base")
    base.trainable = False
    image = start(image_size)
    x = base(layers.Concatenate()([image / 255.0] * 3), training=False)
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(1)])
    return keras.Model(image, head(x))


def adapted(image_size):
    """With constants in a layer, as in EfficientNet of keras.applications."""
    image = start(image_size)
    x = layers.Normalization(mean=[100.0], variance=[400.0])(image)
    return keras.Model(image, layers.Dense(1)(layers.Flatten()(layers.AveragePooling2D(8)(x))))


def built(function, **settings):
    own = OwnNetwork(f"{__name__}:{function.__name__}", function, "")
    config = ModelConfig(model="somewhere:network", **settings)
    return own_model.build(own, config, SIDE)


@pytest.mark.parametrize("function", [pooled, flattened, with_backbone, adapted], ids=lambda each: each.__name__)
def test_answers_are_those_of_the_model_that_was_returned(function):
    returned = []

    def network(image_size):
        returned.append(function(image_size))
        return returned[0]

    network = built(network)
    assert [layer.name for layer in network.layers][-1] == LOGIT
    expected = returned[0](images(), training=False)
    np.testing.assert_allclose(network(images(), training=False), expected, atol=1e-6)
    assert len(network.trainable_weights) == len(returned[0].trainable_weights)


def test_global_average_pooling_gives_a_heat_map_whose_mean_is_the_logit():
    for function in (pooled, with_backbone):
        found = committee([built(function)])(images())
        np.testing.assert_allclose(ops.mean(found["heatmap"], (1, 2)), found["logit"][:, 0], atol=1e-4)
    assert "heatmap" not in committee([built(flattened)]).output


def test_last_feature_map_that_is_not_too_wide_is_compared_for_familiarity():
    assert familiarity.compared_of(built(with_backbone)) == ("norm",)  # of the backbone; 300 channels are too many
    assert familiarity.compared_of(built(flattened)) == ("maps",)
    assert familiarity.compared_of(built(adapted)) == ()


def test_settings_of_the_run_and_arguments_reach_the_function():
    network = built(pooled, dropout=0.1, arguments=("width=5",))
    assert next(layer.rate for layer in network.layers if isinstance(layer, layers.Dropout)) == 0.1
    assert network.get_layer(POOL).output.shape == (None, 5)


def test_logit_is_float32_whatever_the_precision():
    with models._dtype_policy("mixed_bfloat16"):
        networks = [built(pooled), built(flattened)]
    assert [network(images()).dtype for network in networks] == ["float32", "float32"]
    assert networks[0].layers[2].compute_dtype == "bfloat16"


@pytest.mark.parametrize("function", [pooled, with_backbone, adapted], ids=lambda each: each.__name__)
def test_what_can_be_exported_passes_the_check_before_training(function):
    own_model.check_export("my:network", built(function))


@keras.saving.register_keras_serializable("tests")
class Noise(layers.Layer):
    def call(self, x):
        return x + keras.random.normal(ops.shape(x))


@keras.saving.register_keras_serializable("tests")
class Forgetful(layers.Layer):
    def __init__(self, size, **keywords):
        super().__init__(**keywords)
        self.size = size

    def call(self, x):
        return x * self.size()


def of_layer(layer):
    def network(image_size):
        return keras.Sequential([start(image_size), layer, layers.Flatten(), layers.Dense(1)])

    return network


def test_layer_that_is_random_at_inference_is_named():
    with pytest.raises(InputError, match=r"its layer odd computes .*Random"):
        own_model.check_export("my:network", built(of_layer(Noise(name="odd"))))


def test_layer_that_forgets_its_arguments_is_told():
    with pytest.raises(InputError, match=r"cannot be copied .*get_config\(\)"):
        built(of_layer(Forgetful(lambda: 2)))
