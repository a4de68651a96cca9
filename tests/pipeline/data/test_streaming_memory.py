"""A dataset ten times as large as the allowed memory is streamed without being kept."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.writing.examples import serialise

LIMIT, TIMES, SIZE = 64 * 2**20, 10, 224
COUNT = TIMES * LIMIT // SIZE**2
FILES = 8

CHILD = """
import json, sys
import psutil
from pipeline.data import batches
from pipeline.data.split import StoredSplit

limit, count, size, cache, *files = json.loads(sys.argv[1])
batches.SHUFFLE_BYTES = limit // 8
psutil.virtual_memory = lambda: type("Memory", (), {"total": limit})
split = StoredSplit("train", tuple(files), count, size)
process, resident, images = psutil.Process(), [], 0
next(batches.evaluation_batches(split, 1, cache="off"))  # what TensorFlow takes for itself
before = process.memory_info().rss
for epoch in (1, 2):
    for batch, _ in batches.training_batches(split, 16, seed=0, epoch=epoch, cache=cache):
        resident.append(process.memory_info().rss)
for batch, _ in batches.evaluation_batches(split, 16, cache=cache):
    resident.append(process.memory_info().rss)
    images += len(batch)
print(json.dumps({"images": images, "growth": max(resident) - before}))
"""


def growth(files, cache):
    """Bytes by which two epochs and an evaluation exceed what the process held before them."""
    arguments = [sys.executable, "-c", CHILD, json.dumps([LIMIT, COUNT, SIZE, cache, *files])]
    ended = subprocess.run(arguments, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout.splitlines()[-1])
    assert printed["images"] == COUNT
    return printed["growth"]


@pytest.mark.long
def test_memory_stays_flat_while_ten_times_the_limit_is_streamed(tmp_path):
    files = [str(tmp_path / f"pneumo_tfds-train.tfrecord-{part:05d}-of-{FILES:05d}") for part in range(FILES)]
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 1), dtype=np.uint8)
    for part, path in enumerate(files):
        with tf.io.TFRecordWriter(path) as writer:
            for number in np.array_split(np.arange(COUNT), FILES)[part]:
                writer.write(serialise(Image(f"{number}.jpeg", "NORMAL", f"person{number}", "normal", ""), picture))
    assert growth(files, "auto") < LIMIT
    assert growth(files, "on") > 5 * LIMIT, "the measurement includes what is kept"
