"""Networks: inputs and outputs, the meaning of the heat map, and what a saved file must not contain."""

import hashlib
import json
import zipfile

import keras
import numpy as np
import pytest

from pipeline.config import ModelConfig
from pipeline.networks.inference_model import committee, inference_model
from pipeline.networks.models import build, float32_copy, pretrained
from pipeline.run_folder.model_file import load_model, save_model
from pneumo_tfds.program.errors import InputError

SIZE = 64


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def compact():
    keras.utils.set_random_seed(0)
    return build(ModelConfig(model="compact"), SIZE)


@pytest.mark.parametrize("name", ["compact", "study"])
def test_network_gives_one_float32_logit_an_image(name, images):
    network = build(ModelConfig(model=name), SIZE)
    logits = network(images.astype("float32"))
    assert logits.shape == (3, 1)
    assert logits.dtype == "float32"


def test_probability_is_the_sigmoid_of_the_calibrated_logit(compact, images):
    logits = np.asarray(compact(images.astype("float32")))
    answer = inference_model(compact, temperature=2.5, bias=0.7)(images)
    np.testing.assert_allclose(answer["probability"], 1 / (1 + np.exp(-logits / 2.5 - 0.7)), atol=1e-6)


def test_mean_of_the_heat_map_is_the_logit(compact, images):
    heatmap = np.asarray(inference_model(compact, temperature=3.0)(images)["heatmap"])
    assert heatmap.shape == (3, 2, 2)
    np.testing.assert_allclose(
        heatmap.mean(axis=(1, 2)), np.asarray(compact(images.astype("float32")))[:, 0], atol=1e-4
    )


def test_committee_answers_by_the_mean_of_its_networks(compact, images):
    keras.utils.set_random_seed(5)
    other = build(ModelConfig(model="compact"), SIZE)
    grey = images.astype("float32")
    answer = committee([compact, other])(grey)
    np.testing.assert_allclose(answer["logit"], (compact(grey) + other(grey)) / 2, atol=1e-5)
    np.testing.assert_allclose(np.asarray(answer["heatmap"]).mean(axis=(1, 2)), answer["logit"][:, 0], atol=1e-4)


def test_flips_make_the_answer_the_same_for_the_mirror_image(compact, images):
    both = inference_model(committee([compact], flips=True), temperature=20.0)
    seen, mirrored = both(images), both(images[:, :, ::-1])
    np.testing.assert_allclose(seen["probability"], mirrored["probability"], atol=1e-6)
    np.testing.assert_allclose(seen["heatmap"], np.asarray(mirrored["heatmap"])[:, :, ::-1], atol=1e-4)
    alone = inference_model(compact, temperature=20.0)
    assert np.abs(np.asarray(alone(images)["probability"] - alone(images[:, :, ::-1])["probability"])).max() > 1e-6


def test_committee_of_a_network_without_heat_map_has_none(compact, images):
    study = build(ModelConfig(model="study"), SIZE)
    assert "heatmap" not in committee([compact, study])(images.astype("float32"))


def test_saved_committee_answers_alike(compact, images, tmp_path):
    model = inference_model(committee([compact, build(ModelConfig(model="study"), SIZE)], flips=True), 3.0)
    save_model(tmp_path / "model.keras", model)
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(images)["probability"], model(images)["probability"])


def test_network_that_ends_in_dense_layers_has_no_heat_map(images):
    assert set(inference_model(build(ModelConfig(model="study"), SIZE))(images)) == {"probability"}


def test_exposure_and_contrast_change_nothing_when_images_are_normalized(compact, images):
    grey = images.astype("float32")
    np.testing.assert_allclose(compact(grey * 0.4 + 30), compact(grey), atol=2e-2)
    plain = build(ModelConfig(model="compact", normalize=False), SIZE)
    assert np.abs(np.asarray(plain(grey * 0.4 + 30) - plain(grey))).max() > 2e-2


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_image_gives_a_finite_answer(compact, level):
    assert np.isfinite(compact(np.full((1, SIZE, SIZE, 1), level, "float32"))).all()


def test_float32_copy_of_a_mixed_precision_network_has_its_weights(images):
    mixed = build(ModelConfig(), SIZE, "mixed_bfloat16")
    copy = float32_copy(mixed, ModelConfig())
    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}
    for one, other in zip(mixed.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_building_leaves_the_global_precision_alone():
    before = keras.config.dtype_policy().name
    build(ModelConfig(), SIZE, "mixed_bfloat16")
    assert keras.config.dtype_policy().name == before


def test_l1_and_l2_penalties_are_what_the_lambdas_say(images):
    network = build(ModelConfig(model="study", l1=0.01, l2=0.1), SIZE)
    kernels = [weight.numpy() for weight in network.trainable_variables if weight.path.endswith("kernel")]
    expected = sum(0.01 * np.abs(kernel).sum() + 0.1 * np.square(kernel).sum() for kernel in kernels)
    network(images.astype("float32"))
    np.testing.assert_allclose(sum(float(loss) for loss in network.losses), expected, rtol=1e-4)


@pytest.mark.slow
def test_inception_trains_its_head_alone_unless_blocks_are_freed():
    frozen = build(ModelConfig(model="inception_v3"), 75)
    assert len(frozen.trainable_variables) > 2, "without pretrained weights everything must learn"
    answer = inference_model(frozen)(np.zeros((1, 75, 75, 1), np.uint8))
    assert set(answer) == {"probability", "heatmap"}


def test_weights_that_are_no_file_are_refused():
    with pytest.raises(InputError, match=r"--pretrained-weights nowhere\.h5"):
        build(ModelConfig(model="inception_v3", pretrained_weights="nowhere.h5"), 75)


@pytest.mark.slow
def test_what_a_network_starts_from_is_told_with_hash_and_licence_but_without_a_path(tmp_path):
    assert pretrained(ModelConfig(model="compact")) == {"name": "none: random weights"}
    installed = pretrained(ModelConfig(model="efficientnet_lite0"))
    assert installed["license"] == "Apache-2.0"
    assert installed["sha256"].startswith("57934424")  # as the package's file is called
    own = tmp_path / "SECRET.pth"
    own.write_bytes(b"weights")
    found = pretrained(ModelConfig(model="efficientnet_lite0", pretrained_weights=str(own)))
    assert found == {
        "name": "a file of the user",
        "license": "unknown",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
    }


def test_weights_of_another_network_are_refused(tmp_path, compact):
    path = tmp_path / "other.weights.h5"
    compact.save_weights(path)
    with pytest.raises(InputError, match="holds no InceptionV3 weights"):
        build(ModelConfig(model="inception_v3", pretrained_weights=str(path)), 75)


def test_saved_model_answers_as_before(tmp_path, compact, images):
    model = inference_model(compact, 1.7)
    save_model(tmp_path / "model.keras", model)
    loaded = load_model(tmp_path / "model.keras")
    for name, value in model(images).items():
        np.testing.assert_allclose(loaded(images)[name], value, atol=1e-6)


def test_equal_models_are_saved_as_equal_bytes_whenever_and_by_whichever_process(tmp_path, compact):
    save_model(tmp_path / "model.keras", inference_model(compact, 1.7))
    saved = []
    for number in range(2):
        save_model(tmp_path / f"{number}.keras", load_model(tmp_path / "model.keras"))  # objects at other addresses
        saved.append((tmp_path / f"{number}.keras").read_bytes())
    assert saved[0] == saved[1]
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert json.loads(archive.read("metadata.json"))["date_saved"].startswith("1980")
        assert {part.date_time[0] for part in archive.infolist()} == {1980}


def test_model_with_code_in_it_is_refused(tmp_path):
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(image))
    model.save(tmp_path / "model.keras")
    with pytest.raises(InputError, match="Lambda"):
        load_model(tmp_path / "model.keras")


@pytest.mark.parametrize("content", [None, b"", b"not a zip"])
def test_missing_or_damaged_model_is_refused(tmp_path, content):
    path = tmp_path / "model.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.keras"):
        load_model(path)
