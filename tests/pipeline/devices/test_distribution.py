"""Several devices, of one machine or of several: the loss follows that of one device, and one process writes."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import train_made_images
from pipeline.config import FitConfig
from pipeline.devices import distribution
from pipeline.devices.distribution import Devices, connect
from pipeline.devices.replicated_layers import SharedDropout, finite_for_all, replicated
from pipeline.devices.tf_config import Cluster
from pipeline.run_folder.checkpoint import FILE
from pneumo_tfds.program.errors import InputError

ROOT = Path(__file__).parents[3]

SMALL = """
import json, keras, numpy as np, tensorflow as tf
from pipeline.config import FitConfig
from pipeline.devices.distribution import connect
from pipeline.devices.replicated_layers import replicated

devices = connect(FitConfig(devices=2, batch_size=8))
keras.utils.set_random_seed(0)
x = inputs = keras.Input((6, 6, 1))
x = keras.layers.BatchNormalization()(keras.layers.Conv2D(3, 3)(x))
x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
one = keras.Model(inputs, keras.layers.Dense(1)(x))
images = np.random.default_rng(0).random((8, 6, 6, 1), np.float32)
with devices.strategy.scope():
    two = replicated(one)

def gradients(network, images):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(images, training=True) ** 2)
    return [loss, *tape.gradient(loss, [weight.value for weight in network.trainable_weights])]

alone = gradients(one, images)
shares = devices.split_among_replicas(images)
replicas = devices.strategy.run(lambda part: gradients(two, part), shares)
shared = [devices.strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None) for part in replicas]
print(json.dumps({
    "replicas": devices.replicas,
    "apart": [float(tf.reduce_max(abs(a - b))) for a, b in zip(alone, shared, strict=True)],
    "moving": [float(abs(a.numpy() - b.numpy()).max()) for a, b in zip(one.weights, two.weights, strict=True)],
}))
"""


def start(settings, folder=None, cluster=None):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    environment |= {"PYTHONPATH": str(ROOT)} | ({"TF_CONFIG": json.dumps(cluster)} if cluster else {})
    line = [sys.executable, train_made_images.__file__, json.dumps(settings), *([str(folder)] if folder else [])]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def together(settings, folders):
    """Train in as many processes as there are folders; return exit code, output and errors of each."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in folders]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    tasks = [{"type": "worker", "index": index} for index in range(len(folders))]
    running = [
        start(settings, folder, {"cluster": {"worker": hosts}, "task": task})
        for folder, task in zip(folders, tasks, strict=True)
    ]
    try:
        outputs = [one.communicate(timeout=900) for one in running]
        return [(one.returncode, *texts) for one, texts in zip(running, outputs, strict=True)]
    finally:
        for one in running:
            one.kill()


def result(process):
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def alone():
    return result(start({}))


def same(one, other):
    np.testing.assert_allclose(one["history"], other["history"], rtol=1e-4)
    np.testing.assert_allclose(one["weights"], other["weights"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_devices_sum_up_to_the_loss_and_gradients_of_one():
    line = [sys.executable, "-c", SMALL]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout.splitlines()[-1])
    assert printed["replicas"] == 2
    assert max(printed["apart"]) < 1e-3
    assert max(printed["moving"]) < 1e-5


@pytest.mark.long
def test_two_devices_follow_the_curve_of_one(alone):
    """With batch normalization, dropout, augmentation, weight decay and the moving average."""
    same(result(start({"devices": 2})), alone)


@pytest.mark.long
def test_two_processes_follow_the_curve_of_one_and_only_the_chief_writes(alone, tmp_path):
    folders = [tmp_path / "chief", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    ended = together({}, folders)
    assert [code for code, *_ in ended] == [0, 0], ended
    for _, output, _ in ended:
        same(json.loads(output.splitlines()[-1]), alone)
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == [["execution.json", FILE], []]

    # The other one has no checkpoint to go on from: neither may wait for the other forever.
    ended = together({"epochs": 3}, folders)
    assert [code for code, *_ in ended] == [2, 2], ended
    for _, _, errors in ended:
        assert "worker 1 has another checkpoint than the chief" in errors


@pytest.mark.long
def test_two_devices_train_in_float16_as_one_does():
    """Two devices scale the loss as one does."""
    settings = {"precision": "mixed_float16", "epochs": 1}
    one, two = (result(start({**settings, "devices": count})) for count in (1, 2))
    np.testing.assert_allclose(one["history"], two["history"], rtol=0.02)


def test_workers_rows_make_the_whole_batch():
    batch = np.arange(12)
    parts = [batch[Devices(cluster=Cluster(3, index)).rows(12)] for index in range(3)]
    assert np.concatenate(parts).tolist() == batch.tolist()


def test_one_device_shares_nothing():
    images = tf.zeros((4, 2))
    alone = Devices()
    assert alone.split_among_replicas(images)[0] is images
    assert alone.replicas == 1
    assert alone.broadcast_from_chief(np.arange(3)).tolist() == [0, 1, 2]


def test_batch_that_cannot_be_divided_is_refused(monkeypatch):
    monkeypatch.setattr(distribution, "_connected", lambda count: type("Three", (), {"replicas": 3}))
    with pytest.raises(InputError, match="--batch-size is 32, which 3 devices cannot share evenly"):
        connect(FitConfig(devices=3, batch_size=32))


def test_more_devices_than_there_are_is_refused(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["one", "two"])
    with pytest.raises(InputError, match="--devices is 3, but this machine has 2"):
        connect(FitConfig(devices=3, batch_size=3))


def test_worker_with_other_settings_is_named_to_all(monkeypatch):
    monkeypatch.setattr(Devices, "all_gather", lambda self, values: np.array([values, values, values + 1]))
    with pytest.raises(InputError, match="worker 2 has another settings than the chief; do this"):
        Devices().check_same_on_all_workers("settings", "text", "do this")


def test_replicated_network_answers_and_drops_as_the_original_on_one_device():
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(inputs))
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    original = keras.Model(inputs, keras.layers.Dense(2)(x))
    images = np.random.default_rng(0).random((6, 8, 8, 1), np.float32)
    copy = replicated(original)
    assert any(isinstance(layer, SharedDropout) for layer in copy.layers)
    for training in (True, False):
        np.testing.assert_allclose(original(images, training=training), copy(images, training=training), atol=1e-5)
    np.testing.assert_allclose(original.layers[2].moving_mean, copy.layers[2].moving_mean, atol=1e-6)


def test_gradient_that_is_infinite_anywhere_makes_all_nan():
    good, bad = tf.ones((2,)), tf.constant([1.0, np.inf])
    run = tf.distribute.get_strategy().run
    assert all(np.isnan(gradient).all() for gradient in run(finite_for_all, ([good, bad],)))
    assert [gradient.numpy().tolist() for gradient in run(finite_for_all, ([good, good * 2],))] == [[1, 1], [2, 2]]
