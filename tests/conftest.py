"""Every test starts quietly, on the CPU; the long ones run only when asked for."""

import errno
import os
import signal
import stat

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # tests import TensorFlow before our own modules do
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # tests import onnxruntime before our own modules do


def pytest_configure():
    # A shell makes jobs in the background deaf to Ctrl-C, and with them every command that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the tests marked long too (kills, fuzzing, memory)")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--long"):
        skip = pytest.mark.skip(reason="long; run with --long or make test-all")
        for item in items:
            if "long" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def fast_enough(monkeypatch):
    """Work is never long enough for a line about its progress, however busy the machine is: some tests count lines."""
    monkeypatch.setattr("pneumo_tfds.program.progress.DELAY_SECONDS", float("inf"))
    monkeypatch.setattr("pneumo_tfds.program.progress.LOG_SECONDS", float("inf"))


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that is full when the nth file from now on is to be kept; `at(0)`: never."""
    return FullDisk(monkeypatch)


class FullDisk:
    def __init__(self, monkeypatch):
        self._fsync, self.files, self._full = os.fsync, 0, 0
        monkeypatch.setattr(os, "fsync", self._kept)

    def at(self, number):
        self.files, self._full = 0, number

    def _kept(self, handle):
        if stat.S_ISREG(os.fstat(handle).st_mode):
            self.files += 1
            if self.files == self._full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._fsync(handle)
