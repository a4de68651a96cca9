"""The public `tf.data.Dataset`s: our own order and changes, static shapes, any strategy, and refusals in one line."""

import json
import os
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import keras
import numpy as np
import psutil
import pytest
import tensorflow as tf

from pipeline import evaluation_dataset, training_dataset
from pipeline.augmentation import augment
from pipeline.augmentation.histogram_swap import swap
from pipeline.config import AugmentConfig
from pipeline.data.batches import training_batches
from pipeline.data.split import open_splits
from pneumo_tfds.prepared import prepare
from pneumo_tfds.program.errors import InputError

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "how-to" / "your-own-training.md"
SIZE, BATCH, SEED = 32, 8, 3
BOTH = pytest.mark.parametrize("cache", ["on", "off"])

FIT = """
import sys, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pipeline import evaluation_dataset, training_dataset
folder, cache = sys.argv[1:]
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Flatten(), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
    training = training_dataset(folder, batch_size=8, seed=3, cache=cache)
    validation = evaluation_dataset(folder, split="train", batch_size=8, cache=cache)
model.fit(training, validation_data=validation, epochs=2, verbose=0)
def sums(dataset):
    shared = strategy.experimental_distribute_dataset(dataset)
    parts = [strategy.experimental_local_results(images) for images, _ in shared]
    assert all(len(part) == 2 for part in parts)
    return [sorted(int(tf.reduce_sum(tf.cast(image, tf.int64))) for half in part for image in half) for part in parts]
print([sums(training_dataset(folder, batch_size=8, seed=3, cache=cache)), sums(validation)])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepare(None, SIZE, tmp_path_factory.mktemp("data"), phantoms=60)


@pytest.fixture(scope="module")
def split(folder):
    return open_splits(folder)["train"]


def arrays(batches):
    return [(np.asarray(images), np.asarray(labels)) for images, labels in batches]


def ours_of(split, **settings):
    """The batches of our own training, with the labels alone of what it learns."""
    return [
        (images, targets[:, 0]) for images, targets in arrays(training_batches(split, BATCH, seed=SEED, **settings))
    ]


def same(ours, theirs):
    return len(ours) == len(theirs) and all(
        np.array_equal(*images) and np.array_equal(*labels)
        for images, labels in (zip(one, other, strict=True) for one, other in zip(ours, theirs, strict=True))
    )


@BOTH
def test_every_iteration_is_the_next_epoch_of_our_own_training(folder, split, cache):
    dataset = training_dataset(folder, batch_size=BATCH, seed=SEED, cache=cache)
    epochs = [ours_of(split, epoch=epoch, cache=cache) for epoch in (1, 2, 3)]
    assert same(arrays(dataset), epochs[0])
    assert same(arrays(dataset), epochs[1])
    assert not same(epochs[0], epochs[1])
    later = training_dataset(folder, batch_size=BATCH, seed=SEED, first_epoch=3, cache=cache)
    assert same(arrays(later.skip(2)), epochs[2][2:])


@BOTH
def test_streamed_order_does_not_depend_on_the_seed_of_the_program(folder, cache):
    orders = []
    for seed in (0, 5):
        keras.utils.set_random_seed(seed)
        orders.append(arrays(training_dataset(folder, batch_size=BATCH, seed=SEED, cache=cache)))
    assert same(*orders)


@BOTH
def test_changes_are_those_of_our_own_training(folder, split, cache):
    config = AugmentConfig()
    dataset = training_dataset(folder, batch_size=BATCH, seed=SEED, first_epoch=2, cache=cache, augmentation=config)
    assert dataset.element_spec[0] == tf.TensorSpec((BATCH, SIZE, SIZE, 1), tf.float32)
    plain = ours_of(split, epoch=2, cache=cache)
    for step, ((images, labels), (changed, same_labels)) in enumerate(zip(plain, dataset, strict=True)):
        uniform = augment.draw(SEED, split.count // BATCH + step, BATCH)
        swapped = swap(images, labels, uniform, config.histogram_swap)
        expected = augment.apply(swapped, augment.sample(uniform, config, SIZE))
        np.testing.assert_allclose(changed, expected, atol=0.1)
        assert np.array_equal(labels, same_labels)


@BOTH
def test_sizes_are_known_before_anything_is_read(folder, split, cache):
    dataset = training_dataset(folder, batch_size=BATCH, cache=cache)
    images, labels = tf.TensorSpec((BATCH, SIZE, SIZE, 1), tf.uint8), tf.TensorSpec((BATCH,), tf.int64)
    assert dataset.element_spec == (images, labels)
    assert len(dataset) == split.count // BATCH == len(list(dataset))
    every = evaluation_dataset(folder, split="train", batch_size=BATCH, cache=cache)
    assert [spec.shape.as_list()[1:] for spec in every.element_spec] == [[SIZE, SIZE, 1], []]
    assert len(every) == -(-split.count // BATCH) == len(list(every))


@BOTH
def test_evaluation_has_every_image_in_the_order_of_the_records(folder, split, cache):
    batches = arrays(evaluation_dataset(folder, split="train", batch_size=BATCH, cache=cache))
    assert np.array_equal(np.concatenate([images for images, _ in batches]), split.examples.images)
    assert np.array_equal(np.concatenate([labels for _, labels in batches]), split.examples.labels)


def test_images_in_memory_are_there_once(folder):
    options = training_dataset(folder, batch_size=BATCH, cache="on").options()
    assert options.experimental_optimization.apply_default_optimizations is False
    assert options.experimental_distribute.auto_shard_policy is tf.data.experimental.AutoShardPolicy.DATA


@BOTH
def test_two_replicas_share_every_batch_and_lose_nothing(folder, split, cache):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", FIT, str(folder), cache]
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    training, evaluation = json.loads(ended.stdout.splitlines()[-1])
    ours = training_batches(split, BATCH, seed=SEED, epoch=1, cache=cache)
    assert training == [sorted(np.asarray(images).sum(axis=(1, 2, 3)).tolist()) for images, _ in ours]
    assert sorted(chain.from_iterable(evaluation)) == sorted(
        split.examples.images.sum(axis=(1, 2, 3), dtype=int).tolist()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "nowhere"}, "nowhere holds no built dataset"),
        ({"split": "held_out"}, "has no split held_out; it has"),
        ({"batch_size": 10_000}, "batch_size is 10000, but train holds"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"seed": -1}, "seed is -1; it must be from 0 to 4294967295"),
        ({"first_epoch": 0}, "first_epoch is 0; it must be at least 1"),
        ({"cache": "yes"}, "cache is 'yes'; it must be 'auto' or 'on' or 'off'"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(folder, change, message):
    with pytest.raises(InputError, match=message):
        training_dataset(**{"dataset": folder, **change})


def test_pixels_that_do_not_fit_into_memory_are_refused(folder, monkeypatch):
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=100))
    for dataset in (training_dataset, evaluation_dataset):
        with pytest.raises(InputError, match=r"of memory, and 0\.0 GB are free; give cache='off'"):
            dataset(folder, cache="on")


@BOTH
def test_cut_record_file_is_refused_at_once(tmp_path, cache):
    folder = prepare(None, SIZE, tmp_path, phantoms=60)
    path = next(folder.glob("*train*tfrecord*"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged"):
        training_dataset(folder, batch_size=BATCH, cache=cache)


def test_import_alone_does_not_import_tensorflow():
    program = "import sys, pipeline; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_examples_of_the_documentation_run_as_they_stand(folder, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    for block in blocks:
        exec(block.replace("DATA/pneumo_tfds/gray_224/1.1.0", str(folder)).replace("224", str(SIZE)), names)
        assert np.isfinite(names["history"].history["val_loss"]).all()
