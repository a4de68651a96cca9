"""Checkpoints: all of it comes back, or none of it is touched."""

import errno
import os

import numpy as np
import pytest
import tensorflow as tf

from pipeline.run_folder import checkpoint
from pneumo_tfds.program import trying_again
from pneumo_tfds.program.errors import InputError


def trainable(scale):
    return {
        "network": [tf.Variable(np.full((2, 3), scale, "float32")), tf.Variable(np.float32(scale))],
        "optimizer": [tf.Variable(int(scale))],
    }


def test_values_and_state_come_back(tmp_path):
    checkpoint.save(tmp_path, trainable(3.0), {"epoch": 2})
    fresh = trainable(0.0)
    assert checkpoint.load(tmp_path, fresh) == {"epoch": 2}
    assert fresh["network"][0].numpy().tolist() == [[3.0] * 3] * 2
    assert int(fresh["optimizer"][0]) == 3


def test_empty_folder_gives_nothing(tmp_path):
    assert checkpoint.load(tmp_path, trainable(0.0)) is None


def test_checkpoint_of_another_model_is_refused_and_nothing_is_assigned(tmp_path):
    checkpoint.save(tmp_path, trainable(3.0), {})
    other = {"network": [tf.Variable(np.zeros((2, 3), "float32"))], "optimizer": [tf.Variable(0)]}
    with pytest.raises(InputError, match="another model"):
        checkpoint.load(tmp_path, other)
    assert not other["network"][0].numpy().any()


def test_truncated_checkpoint_is_refused(tmp_path):
    checkpoint.save(tmp_path, trainable(3.0), {})
    path = tmp_path / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="damaged"):
        checkpoint.load(tmp_path, trainable(0.0))


def test_a_disk_that_fails_once_does_not_end_the_training(tmp_path, monkeypatch):
    real = os.fsync

    def fail_once(file):
        monkeypatch.setattr(os, "fsync", real)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail_once)
    monkeypatch.setattr(trying_again, "PAUSES", (0.0,))
    checkpoint.save(tmp_path, trainable(3.0), {"epoch": 1})
    assert checkpoint.load(tmp_path, trainable(0.0)) == {"epoch": 1}


def test_failed_save_leaves_the_old_checkpoint(tmp_path):
    checkpoint.save(tmp_path, trainable(3.0), {"epoch": 1})
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path, trainable(4.0), {"epoch": object()})
    fresh = trainable(0.0)
    assert checkpoint.load(tmp_path, fresh) == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.FILE]
