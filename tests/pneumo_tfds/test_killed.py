"""A build that is killed leaves nothing that loads, and the next one needs no help."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from pneumo_tfds.prepared import How, build, is_built
from pneumo_tfds.sources import open_source


def start(xrays, data_dir, *flags):
    words = ["build", "--source", xrays, "--config", "gray_64", "--data-dir", data_dir, *flags]
    return subprocess.Popen(
        [sys.executable, "-m", "pneumo_tfds", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_after(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.long
def test_twenty_kills_at_random_moments(tmp_path, write_images, names):
    folder = write_images(tmp_path / "s", names(900, 450, 450))
    whole = build(open_source(folder), "gray_64", tmp_path / "whole")
    started = time.monotonic()
    assert start(folder, tmp_path / "timing").wait() == 0
    lasts = time.monotonic() - started
    moments = random.Random(0)
    target = tmp_path / "d/pneumo_tfds/gray_64/1.0.0"
    killed = 0
    for _ in range(20):
        process = start(folder, tmp_path / "d")
        kill_after(process, moments.uniform(0.1, 1.0) * lasts)
        killed += process.returncode == -signal.SIGKILL
        if is_built(target):  # it was quicker than the kill: then it must be whole
            assert {p.name: p.read_bytes() for p in target.iterdir()} == {
                p.name: p.read_bytes() for p in whole.folder.iterdir()
            }
            build(open_source(folder), "gray_64", tmp_path / "d", how=How(overwrite=True))
            for path in target.iterdir():
                path.unlink()
            target.rmdir()
        assert not target.exists()
    assert killed >= 10
    again = build(open_source(folder), "gray_64", tmp_path / "d")
    assert again.examples == whole.examples
    assert sorted(path.name for path in target.parent.iterdir()) == [".1.0.0.lock", "1.0.0"]


@pytest.mark.slow
def test_a_killed_overwrite_leaves_the_old_dataset_or_none_and_never_half(tmp_path, xrays):
    before = build(open_source(xrays), "gray_64", tmp_path / "d")
    files = {path.name: path.read_bytes() for path in before.folder.iterdir()}
    process = start(xrays, tmp_path / "d", "--overwrite")
    deadline = time.monotonic() + 60
    begun = before.folder.parent.glob
    while process.poll() is None and time.monotonic() < deadline and not list(begun("incomplete.*")):
        time.sleep(0.01)
    kill_after(process, 0)
    assert {path.name: path.read_bytes() for path in before.folder.iterdir()} == files
    build(open_source(xrays), "gray_64", tmp_path / "d", how=How(overwrite=True))
    assert not list(before.folder.parent.glob("incomplete.*"))


@pytest.mark.slow
def test_two_builds_at_once_give_one_whole_dataset(tmp_path, xrays):
    processes = [start(xrays, tmp_path / "d") for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert is_built(tmp_path / "d/pneumo_tfds/gray_64/1.0.0")
