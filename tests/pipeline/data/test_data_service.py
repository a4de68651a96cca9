"""Records from a tf.data service: the batches that a trainer would have read itself, or one line of error."""

import socket

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.batches import training_batches
from pipeline.data.split import StoredSplit
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.writing.examples import serialise

SIZE, COUNT, BATCH = 16, 40, 6
service = tf.data.experimental.service


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    paths = [str(folder / f"pneumo_tfds-train.tfrecord-{part:05d}-of-00003") for part in range(3)]
    for part, path in enumerate(paths):
        with tf.io.TFRecordWriter(path) as writer:
            for number in np.array_split(np.arange(COUNT), 3)[part]:
                picture = np.full((SIZE, SIZE, 1), number, np.uint8)
                writer.write(serialise(Image(f"{number}.jpeg", "NORMAL", f"person{number}", "normal", ""), picture))
    return StoredSplit("train", tuple(paths), COUNT, SIZE)


@pytest.fixture
def dispatcher():
    return service.DispatchServer()


def worker(dispatcher):
    address = dispatcher.target.removeprefix("grpc://")
    return service.WorkerServer(service.WorkerConfig(dispatcher_address=address)), address


def numbers(batches):
    return [int(image[0, 0, 0]) for images, _ in batches for image in np.asarray(images)]


def test_trainers_at_one_service_each_get_their_own_order(split, dispatcher):
    kept, address = worker(dispatcher)
    trainers = [{"seed": seed, "epoch": epoch} for seed, epoch in ((1, 1), (1, 2), (2, 1))]
    remote = [training_batches(split, BATCH, service=address, **trainer) for trainer in trainers]
    together = zip(*(iter(batches) for batches in remote), strict=True)  # in turn, all at the same time
    seen = [numbers(batches) for batches in zip(*together, strict=True)]
    local = [numbers(training_batches(split, BATCH, cache="off", **trainer)) for trainer in trainers]
    assert seen == local
    assert len({tuple(order) for order in seen}) == len(trainers)
    assert len(seen[0]) == len(set(seen[0])) == COUNT - COUNT % BATCH
    del kept


def test_trainers_may_share_a_batch(split, dispatcher):
    kept, address = worker(dispatcher)
    given = {"seed": 0, "epoch": 1}
    whole = [numbers([batch]) for batch in training_batches(split, BATCH, cache="off", **given)]
    halves = [
        [numbers([batch]) for batch in training_batches(split, BATCH, service=address, rows=rows, **given)]
        for rows in (slice(0, 3), slice(3, 6))
    ]
    assert [first + second for first, second in zip(*halves, strict=True)] == whole
    del kept


def test_service_with_two_workers_is_refused_because_both_serve_everything(split, dispatcher):
    one, address = worker(dispatcher)
    two, _ = worker(dispatcher)
    with pytest.raises(InputError, match=r"--data-service .*one worker"):
        numbers(training_batches(split, BATCH, seed=0, epoch=1, service=address))
    del one, two


def test_service_that_is_not_there_is_named_at_once(split):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError, match=f"--data-service {address}: nothing answers"):
        next(training_batches(split, BATCH, seed=0, epoch=1, service=address))


def test_damage_that_the_service_finds_is_one_clear_line(split, dispatcher, tmp_path):
    kept, address = worker(dispatcher)
    path = tmp_path / "damaged"
    path.write_bytes(tf.io.gfile.GFile(split.files[0], "rb").read()[:-100])
    damaged = StoredSplit("train", (str(path),), 12, SIZE)
    with pytest.raises(InputError, match="damaged"):
        numbers(training_batches(damaged, BATCH, seed=0, epoch=1, service=address))
    del kept
