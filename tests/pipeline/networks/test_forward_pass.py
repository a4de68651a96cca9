"""Scoring by onnxruntime gives TensorFlow's answers, and is chosen where it repays the conversion."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import ModelConfig
from pipeline.conversion import onnx_function
from pipeline.networks import forward_pass
from pipeline.networks.forward_pass import LogitsFn, OutputsFn
from pipeline.networks.inference_model import committee, inference_model
from pipeline.networks.models import build

SIDE = 48
MANY = forward_pass.REPAID_PIXELS // SIDE**2 + 1


@pytest.fixture
def conversions(monkeypatch):
    """Count how often a network is converted."""
    found = []
    by_onnxruntime = onnx_function.by_onnxruntime
    monkeypatch.setattr(onnx_function, "by_onnxruntime", lambda *given: found.append(1) or by_onnxruntime(*given))
    return found


@pytest.fixture(scope="module")
def network():
    """A committee of two networks with weights far from their start, so that logits spread."""
    members = []
    for seed, name in enumerate(("compact", "study")):
        member, generator = build(ModelConfig(model=name), SIDE), np.random.default_rng(seed)
        member.set_weights(
            [generator.normal(abs(w.mean()), 0.05, w.shape) ** 2 ** (w.ndim == 1) for w in member.get_weights()]
        )
        members.append(member)
    return committee(members[:1], flips=True), committee(members)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (75, SIDE, SIDE, 1), dtype=np.uint8)


def test_many_images_have_the_same_logits_by_onnxruntime(network, images, conversions):
    for each in network:
        plain, fast = LogitsFn(each), LogitsFn(each, expected=MANY)
        expected = plain.logits([images])
        assert expected.std() > 1e-3
        np.testing.assert_allclose(fast.logits([images[:70], images[70:]]), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(fast.probabilities(images), plain.probabilities(images), atol=1e-5)
    assert len(conversions) == 2


def test_many_images_have_the_same_heat_maps_by_onnxruntime(network, images, conversions):
    model = inference_model(network[0], 1.3, 0.2)
    plain, fast = OutputsFn(model)(images), OutputsFn(model, expected=MANY)(images)
    assert set(plain) == set(fast) == {"probability", "heatmap"}
    assert conversions
    for name, expected in plain.items():
        assert fast[name].dtype == np.float32
        np.testing.assert_allclose(fast[name], expected, rtol=1e-4, atol=1e-5)


def test_few_images_are_not_worth_a_conversion(network, images, conversions):
    LogitsFn(network[0], expected=MANY // 2).probabilities(images[:2])
    OutputsFn(inference_model(network[0]), expected=MANY // 2).probabilities(images[:2])
    assert not conversions


def test_a_network_that_changes_is_asked_as_it_is(images):
    """Training asks one function after every epoch."""
    network = build(ModelConfig(model="compact"), SIDE)
    logits = LogitsFn(network)
    before = logits.logits([images[:4]])
    network.set_weights([weight * 1.5 for weight in network.get_weights()])
    assert not np.allclose(logits.logits([images[:4]]), before)
