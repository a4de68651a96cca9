"""Precision and XLA: the choice of `auto` on each kind of device, and the warnings about it."""

import json

import keras
import pytest
import tensorflow as tf

from pipeline.config import FitConfig
from pipeline.devices import precision
from pneumo_tfds.program.errors import InputError


@pytest.fixture
def cpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])

    def with_sets(*sets):
        monkeypatch.setattr(precision.processor, "instruction_sets", lambda: dict.fromkeys(sets, True))

    return with_sets


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["gpu"])

    def with_capability(*capability):
        details = {"device_name": "Test GPU", "compute_capability": capability}
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)

    return with_capability


def test_plain_cpu_trains_in_float32_without_xla(cpu):
    cpu("AVX2", "AVX-512")
    assert precision.choose(FitConfig()) == precision.Execution("CPU", "float32", False)


def test_cpu_with_bfloat16_instructions_uses_them(cpu):
    cpu("AVX-512", "bfloat16")
    assert precision.choose(FitConfig()) == precision.Execution("CPU", "mixed_bfloat16", False)


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_variable_that_takes_bfloat16_away_is_obeyed(cpu, monkeypatch, name):
    cpu("AVX-512", "bfloat16")
    monkeypatch.setenv(name, "avx2")
    assert precision.candidates(FitConfig()) == [precision.Execution("CPU", "float32", False)]
    with pytest.raises(InputError, match=f"{name}=avx2 .* unset the variable"):
        precision.choose(FitConfig(precision="mixed_bfloat16"))


def test_emulated_precision_is_done_as_asked_and_its_cost_named(cpu):
    cpu("AVX2")
    chosen = precision.choose(FitConfig(precision="mixed_bfloat16", xla="on"))
    assert (chosen.precision, chosen.xla) == ("mixed_bfloat16", True)
    assert "14 times" in chosen.note


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "mixed_bfloat16"), ((7, 5), "mixed_float16"), ((6, 1), "float32")]
)
def test_gpu_uses_what_its_capability_has(gpu, capability, expected):
    gpu(*capability)
    assert precision.choose(FitConfig()) == precision.Execution("Test GPU", expected, True)


def test_gpu_that_only_emulates_the_precision_is_named(gpu):
    gpu(7, 0)
    assert "emulates mixed_bfloat16" in precision.choose(FitConfig(precision="mixed_bfloat16")).note


def test_only_a_cpu_with_bfloat16_instructions_has_more_than_one_way_to_be_measured(cpu):
    cpu("AVX2")
    assert [way.precision for way in precision.candidates(FitConfig())] == ["float32"]
    cpu("bfloat16")
    assert [way.precision for way in precision.candidates(FitConfig())] == ["mixed_bfloat16", "float32"]
    assert [way.precision for way in precision.candidates(FitConfig(precision="float32"))] == ["float32"]
    assert [way.precision for way in precision.candidates(FitConfig(devices=2))] == ["mixed_bfloat16"]


@pytest.mark.parametrize("workers", [1, 2])
def test_step_that_devices_share_is_not_compiled(gpu, monkeypatch, workers):
    gpu(9, 0)
    if workers > 1:
        cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    devices = 1 if workers > 1 else 2
    assert not precision.choose(FitConfig(devices=devices)).xla
    with pytest.raises(InputError, match="--xla on"):
        precision.choose(FitConfig(devices=devices, xla="on"))


def test_layer_that_xla_cannot_compile_is_named():
    layer = keras.layers.RandomRotation(0.1, name="turn")
    images = tf.zeros((2, 8, 8, 1))
    step = precision.compiled(lambda: layer(images, training=True), precision.Execution("CPU", "float32", True))
    with pytest.raises(InputError, match=r"XLA cannot compile ImageProjectiveTransformV3, which turn.* give --xla off"):
        step()
    plain = precision.compiled(lambda: layer(images, training=True), precision.Execution("CPU", "float32", False))
    assert plain().shape == images.shape


def test_other_errors_of_a_compiled_step_stay_as_they_are():
    step = precision.compiled(lambda x: tf.reshape(x, (3, -1)), precision.Execution("CPU", "float32", True))
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError)) as caught:
        step(tf.zeros((2, 2)))
    assert not isinstance(caught.value, InputError)
