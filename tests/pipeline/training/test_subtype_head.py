"""The second head: what it learns from, what it leaves alone, and what is refused."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import AugmentConfig, FitConfig, ModelConfig, RunConfig
from pipeline.data.dataset import with_dataset
from pipeline.data.split import Examples, MemorySplit
from pipeline.devices.precision import Execution
from pipeline.networks.inference_model import calibrated_committee, committee, inference_model
from pipeline.networks.models import build
from pipeline.training.step import Training
from pneumo_tfds.phantoms.phantom_source import phantom_source
from pneumo_tfds.prepared import prepare
from pneumo_tfds.program.errors import InputError

SIZE = 48
WITH, WITHOUT = (ModelConfig(model="study", dropout=0.0, subtype_head=head) for head in (True, False))
KINDS = np.array(["normal", "bacteria", "virus", "unknown"])
LABELS = np.array([0, 1, 1, 1])
IMAGES = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 1), dtype=np.uint8)


def training(model, **fit):
    names = np.array(["a", "b", "c", "d"])
    split = MemorySplit("train", Examples(IMAGES, LABELS, names, KINDS, names))
    settings = FitConfig(**{"batch_size": 4, "class_weights": False, "precision": "float32", **fit})
    config = RunConfig(model=model, fit=settings, augment=AugmentConfig(augment=False))
    keras.utils.set_random_seed(0)
    return Training(config, split, Execution("CPU", "float32", xla=False))


def entropy(logits, targets):
    return np.log1p(np.exp(logits)) - targets * logits


def test_loss_adds_the_weighted_entropy_of_known_kinds_alone():
    trained = training(WITH, subtype_weight=0.25)
    logits = trained.network(IMAGES.astype(np.float32)).numpy()
    found = trained._loss(IMAGES, trained.train.examples.targets, None)
    kinds = entropy(logits[1:3, 1], np.array([0, 1]))
    assert logits.shape == (4, 2)
    assert float(found) == pytest.approx((entropy(logits[:, 0], LABELS).sum() + 0.25 * kinds.sum()) / 4, rel=1e-5)


def test_loss_without_it_is_that_of_the_classes():
    trained = training(WITHOUT)
    logits = trained.network(IMAGES.astype(np.float32)).numpy()
    assert logits.shape == (4, 1)
    found = trained._loss(IMAGES, trained.train.examples.targets, None)
    assert float(found) == pytest.approx(entropy(logits[:, 0], LABELS).mean(), rel=1e-5)


def test_mixing_in_an_image_of_unknown_kind_says_nothing_for_or_against():
    trained = training(WITH, mixup=0.5, subtype_weight=0.3)
    uniform = tf.ones((4, 32))  # half of each image is the one before it
    mixed = (IMAGES.astype(np.float32) + np.roll(IMAGES, 1, axis=0)) / 2
    logits = trained.network(mixed).numpy()
    classes, kinds = (LABELS + np.roll(LABELS, 1)) / 2, np.array([0, (1 + 0) / 2, 1])
    shares = np.array([0.5, 1, 0.5])  # of bacteria beside NORMAL, virus beside bacteria, unknown beside virus
    expected = entropy(logits[:, 0], classes).sum() + 0.3 * (shares * entropy(logits[1:, 1], kinds)).sum()
    found = trained._loss(IMAGES, trained.train.examples.targets, uniform)
    assert float(found) == pytest.approx(expected / 4, rel=1e-4)


def test_mixed_images_bring_the_weight_of_their_own_class():
    trained = training(WITHOUT, mixup=0.5, class_weights=True)
    uniform = tf.ones((4, 32))
    mixed = (IMAGES.astype(np.float32) + np.roll(IMAGES, 1, axis=0)) / 2
    logits = trained.network(mixed).numpy()[:, 0]
    weights = np.where(LABELS, 4 / (2 * 3), 4 / 2)
    own, other = weights * entropy(logits, LABELS), np.roll(weights, 1) * entropy(logits, np.roll(LABELS, 1))
    found = trained._loss(IMAGES, trained.train.examples.targets, uniform)
    assert float(found) == pytest.approx(float((own + other).mean() / 2), rel=1e-4)


def test_inference_model_gives_the_second_head_beside_what_it_gave():
    keras.utils.set_random_seed(0)
    network = build(ModelConfig(model="compact", subtype_head=True), SIZE)
    logits = network(IMAGES.astype(np.float32)).numpy()
    answer = inference_model(committee([network]), temperature=2.0, bias=0.5)(IMAGES)
    assert {*answer} == {"probability", "heatmap", "subtype"}
    np.testing.assert_allclose(answer["probability"], 1 / (1 + np.exp(-logits[:, :1] / 2 - 0.5)), atol=1e-6)
    np.testing.assert_allclose(answer["subtype"], 1 / (1 + np.exp(-logits[:, 1:])), atol=1e-6)
    np.testing.assert_allclose(np.mean(answer["heatmap"], axis=(1, 2)), logits[:, 0], atol=1e-4)
    plain = inference_model(build(ModelConfig(model="compact"), SIZE))
    assert {*plain.output} == {"probability", "heatmap"}


def test_committee_of_folds_averages_both_heads():
    members = [inference_model(build(WITH, SIZE), temperature=2.0, bias=0.5) for _ in range(2)]
    answers = [member(IMAGES) for member in members]
    found = inference_model(calibrated_committee(members))(IMAGES)
    for name in ("probability", "subtype"):
        logits = [np.log(np.asarray(each[name]) / (1 - np.asarray(each[name]))) for each in answers]
        np.testing.assert_allclose(found[name], 1 / (1 + np.exp(-np.mean(logits, axis=0))), atol=1e-5)


def test_images_whose_kind_is_not_known_are_refused_before_training(tmp_path):
    whole = phantom_source(60)
    without = dataclasses.replace(whole, images=tuple(image for image in whole.images if image.subtype != "virus"))
    dataset = prepare(without, 32, tmp_path)
    config = RunConfig(model=ModelConfig(model="compact", subtype_head=True), fit=FitConfig(batch_size=4))
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, dataset=dataset, image_size=32))
    with pytest.raises(InputError, match=r"--subtype-head needs .*, but train has .* of virus; leave it out"):
        with_dataset(config)
    with_dataset(dataclasses.replace(config, model=ModelConfig(model="compact")))


def test_a_network_of_the_user_has_no_second_head():
    with pytest.raises(InputError, match="--subtype-head is given"):
        ModelConfig(model="package.module:function", subtype_head=True)
