"""What a training step gets: of each worker its rows of the one batch that a single process would compute."""

import numpy as np
import pytest

from pipeline.config import AugmentConfig, DataConfig, FitConfig, ModelConfig, RunConfig
from pipeline.data.split import Examples, MemorySplit
from pipeline.devices.distribution import Devices
from pipeline.devices.precision import Execution
from pipeline.devices.tf_config import Cluster
from pipeline.training.step import Training

COUNT, SIZE = 16, 32


@pytest.fixture(scope="module")
def training():
    rng = np.random.default_rng(0)
    labels = np.arange(COUNT) % 2
    images = rng.integers(0, 100, (COUNT, SIZE, SIZE, 1), dtype=np.uint8) + 100 * labels[:, None, None, None]
    text = np.array([f"train{number}" for number in range(COUNT)])
    split = MemorySplit("train", Examples(images.astype(np.uint8), labels, text, text, text))
    config = RunConfig(
        data=DataConfig(image_size=SIZE),
        model=ModelConfig(model="compact"),
        augment=AugmentConfig(histogram_swap=1.0),
        fit=FitConfig(batch_size=8, precision="float32"),
    )
    return Training(config, split, Execution("CPU", "float32", xla=False))


def batches(training, devices):
    training.devices = devices
    return [[np.asarray(part) for part in batch] for batch in training._batches(1)]


def test_workers_get_their_rows_of_the_batch_of_one_process(training):
    whole = batches(training, Devices())
    workers = [batches(training, Devices(cluster=Cluster(2, index))) for index in range(2)]
    assert len(whole) == 2
    for of_all, *of_each in zip(whole, *workers, strict=True):
        for expected, *parts in zip(of_all, *of_each, strict=True):
            np.testing.assert_array_equal(np.concatenate(parts), expected)
