"""SIGKILL at any moment: finished trials are kept, the running one goes on, workers are replaced, none is left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

TRIALS, EPOCHS = 4, 4


def begin(stub, folder, *options):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(stub.path), str(folder), "--trials", str(TRIALS), "--epochs", str(EPOCHS), *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def trained(folder):
    """Give (epoch, process) of every epoch that was trained, by trial."""
    found = {}
    for path in sorted(folder.glob("tuner/trials/trial_*/trained.txt")):
        lines = [line.split() for line in path.read_text().splitlines()]
        found[path.parent.name] = [(int(epoch), int(process)) for epoch, process in lines]
    return found


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_search_killed_in_its_second_trial_goes_on_from_that_trials_last_epoch(stub, tmp_path):
    process = begin(stub, tmp_path, "--seconds", "0.3")
    wait_for(lambda: len(trained(tmp_path).get("trial_1", [])) == 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    first = trained(tmp_path)["trial_0"]

    process = begin(stub, tmp_path)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert trained(tmp_path)["trial_0"] == first
    for name, epochs in trained(tmp_path).items():
        assert [epoch for epoch, _ in epochs] == list(range(1, EPOCHS + 1)), name
    assert len(trained(tmp_path)) == TRIALS
    assert len({process for _, process in trained(tmp_path)["trial_1"]}) == 2


@pytest.mark.slow
def test_a_killed_workers_trial_is_given_out_again_and_no_process_is_left(stub, tmp_path):
    process = begin(stub, tmp_path, "--seconds", "0.4", "--workers", "2")
    wait_for(lambda: len(trained(tmp_path).get("trial_0", [])) == 2)
    victim = trained(tmp_path)["trial_0"][0][1]
    os.kill(victim, signal.SIGKILL)
    workers = psutil.Process(process.pid).children()
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "by signal 9 in trial 1, which is given out again" in output
    found = trained(tmp_path)
    assert len(found) == TRIALS
    for name, epochs in found.items():
        assert [epoch for epoch, _ in epochs] == list(range(1, EPOCHS + 1)), name
    assert len({process for _, process in found["trial_0"]}) == 2
    assert (
        len({process for epochs in found.values() for _, process in epochs}) == 3
    )  # two, and one in a dead one's place
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_do_not_outlive_their_chief(stub, tmp_path, how):
    process = begin(stub, tmp_path, "--seconds", "0.4", "--workers", "2")
    wait_for(lambda: len(trained(tmp_path)) == 2)
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    process.send_signal(how)
    process.communicate(timeout=30)
    _gone, alive = psutil.wait_procs(workers, timeout=15)
    assert not alive
    assert not (tmp_path / "tuner" / "done.json").exists()
