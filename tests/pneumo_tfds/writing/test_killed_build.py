"""A build that is killed leaves nothing that loads, and the next one needs no help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import killing
from pneumo_tfds.prepared import BuildOptions, build, is_built
from pneumo_tfds.sources.opening import open_source


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


def stage(name):
    """Name the part of the build that writes a file."""
    if "/1.1.0/" in name:
        return "named"
    if ".tfrecord" in name:
        return "records"
    return "start" if name == "start" or name.endswith(".lock") else "description"


@pytest.mark.long
def test_twenty_kills_at_random_moments(tmp_path, write_images, names):
    source = write_images(tmp_path / "s", names(600, 300, 300))

    def line(data_dir):
        flags = ("--source", source, "--config", "gray_64", "--data-dir", data_dir)
        return "pneumo_tfds", "build", *flags

    def target(data_dir):
        return data_dir / "pneumo_tfds/gray_64/1.1.0"

    def files(data_dir):
        return {path.name: path.read_bytes() for path in target(data_dir).iterdir()}

    writes = killing.watched(line(tmp_path / "whole"), tmp_path / "whole", tmp_path / "whole.log")
    whole = files(tmp_path / "whole")

    def none_or_whole(data_dir):
        assert not target(data_dir).exists() or files(data_dir) == whole

    def the_same(data_dir):
        assert files(data_dir) == whole
        assert sorted(path.name for path in target(data_dir).parent.iterdir()) == [".1.1.0.lock", "1.1.0"]

    needed = frozenset({"start", "records", "description"})
    killed = killing.again_and_again(
        line, lambda life: tmp_path / f"life{life}", writes, 20,
        stage=stage, needed=needed, after_kill=none_or_whole, at_end=the_same,
    )  # fmt: skip
    print(f"build: {killed}")
    assert killed.stages.total() >= 20


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
    build(open_source(xrays), "gray_64", tmp_path / "d", options=BuildOptions(overwrite=True))
    assert not list(before.folder.parent.glob("incomplete.*"))


@pytest.mark.slow
def test_two_builds_at_once_give_one_whole_dataset(tmp_path, xrays):
    processes = [start(xrays, tmp_path / "d") for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert is_built(tmp_path / "d/pneumo_tfds/gray_64/1.1.0")


def test_a_dataset_killed_between_the_two_renames_that_replace_it_is_the_new_one(tmp_path, write_images, names):
    old, new = (open_source(write_images(tmp_path / name, names(20, 12, 8), seed)) for seed, name in enumerate("ab"))
    whole = build(new, "gray_64", tmp_path / "elsewhere").folder
    target = build(old, "gray_64", tmp_path / "d").folder
    aside = target.with_name("incomplete.abc_1.1.0")
    (aside / "pneumo_tfds" / "gray_64").mkdir(parents=True)
    target.rename(aside / "old")
    whole.rename(aside / "pneumo_tfds" / "gray_64" / "1.1.0")
    files = {path.name: path.read_bytes() for path in (aside / "pneumo_tfds" / "gray_64" / "1.1.0").iterdir()}

    build(new, "gray_64", tmp_path / "d", options=BuildOptions(overwrite=True))
    assert {path.name: path.read_bytes() for path in target.iterdir()} == files
    assert not aside.exists()
