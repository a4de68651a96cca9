"""SIGKILL at any moment: finished trials are kept, the running one goes on, workers are replaced, none is left over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

import killing
import stub_search as stub

TRIALS, EPOCHS = 4, 4


def begin(folder, *options, **variables):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | variables
    command = [sys.executable, stub.__file__, str(folder), "--trials", str(TRIALS), "--epochs", str(EPOCHS), *options]
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
def test_a_search_killed_in_its_second_trial_goes_on_from_that_trials_last_epoch(tmp_path):
    process = begin(tmp_path, "--seconds", "1")
    wait_for(lambda: len(trained(tmp_path).get("trial_1", [])) == 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    first = trained(tmp_path)["trial_0"]

    process = begin(tmp_path)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert trained(tmp_path)["trial_0"] == first
    for name, epochs in trained(tmp_path).items():
        assert [epoch for epoch, _ in epochs] == list(range(1, EPOCHS + 1)), name
    assert len(trained(tmp_path)) == TRIALS
    assert len({process for _, process in trained(tmp_path)["trial_1"]}) == 2


@pytest.mark.slow
def test_a_killed_workers_trial_is_given_out_again_and_no_process_is_left(tmp_path):
    process = begin(tmp_path, "--seconds", "1", "--workers", "2")
    wait_for(lambda: len(trained(tmp_path).get("trial_0", [])) == 2)
    victim = trained(tmp_path)["trial_0"][0][1]
    os.kill(victim, signal.SIGKILL)
    workers = psutil.Process(process.pid).children()
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "by signal 9 in trial 1, which another attempt continues" in output
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
def test_workers_do_not_outlive_their_chief(tmp_path, how):
    process = begin(tmp_path, "--seconds", "0.4", "--workers", "2")
    wait_for(lambda: len(trained(tmp_path)) >= 2)
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    process.send_signal(how)
    process.communicate(timeout=30)
    _gone, alive = psutil.wait_procs(workers, timeout=15)
    assert not alive
    assert not (tmp_path / "tuner" / "done.json").exists()


@pytest.fixture
def clustered(tmp_path):
    """Start members of one search by KerasTuner's own variables, as a scheduler would; what is left over is killed."""
    from tuning.search import kerastuner_roles

    port, started = kerastuner_roles.free_port(), []

    def start(name, *options):
        variables = kerastuner_roles.environment(name, port) | {
            kerastuner_roles.WORKER_PATIENCE: "6",
            kerastuner_roles.CHIEF_PATIENCE: "120",
        }
        started.append(begin(tmp_path, *options, **variables))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_a_cluster_gives_the_trial_of_a_worker_that_never_comes_back_to_another(clustered, tmp_path):
    chief = clustered("chief")
    victim = clustered("worker1", "--seconds", "600")  # after its first epoch it waits to be killed
    wait_for(lambda: any(trained(tmp_path).values()))
    survivor = clustered("worker2")
    wait_for(lambda: len(trained(tmp_path)) >= 2)
    victim.send_signal(signal.SIGKILL)
    assert survivor.wait(timeout=240) == 0
    output, _ = chief.communicate(timeout=60)
    assert chief.returncode == 0, output
    assert "worker1 was not heard from for 6 s in trial" in output
    found = trained(tmp_path)
    assert len(found) == TRIALS
    for name, epochs in found.items():
        assert [epoch for epoch, _ in epochs] == list(range(1, EPOCHS + 1)), name
    moved = [epochs for epochs in found.values() if len({process for _, process in epochs}) == 2]
    assert len(moved) == 1
    assert moved[0][0][1] == victim.pid
    assert moved[0][-1][1] == survivor.pid


@pytest.mark.long
def test_workers_go_on_with_their_trials_when_a_killed_chief_is_started_again(clustered, tmp_path):
    chief = clustered("chief")
    members = [clustered(f"worker{number}", "--seconds", "0.3") for number in (1, 2)]
    wait_for(lambda: len(trained(tmp_path)) >= 2)
    chief.send_signal(signal.SIGKILL)
    chief.communicate()
    chief = clustered("chief")
    assert [member.wait(timeout=240) for member in members] == [0, 0]
    output, _ = chief.communicate(timeout=60)
    assert chief.returncode == 0, output
    assert "another attempt" not in output
    for name, epochs in trained(tmp_path).items():
        assert [epoch for epoch, _ in epochs] == list(range(1, EPOCHS + 1)), name
    assert len(trained(tmp_path)) == TRIALS


def stage(name):
    """Name what of the search a file tells; a checkpoint and the stub's note of it come within a millisecond."""
    plain = name.replace(".partial", "").rpartition("/")[2].removeprefix(".")
    return "checkpoint" if plain in ("state.npz", "trained.txt") else plain


@pytest.mark.long
def test_a_search_killed_twenty_times_at_any_moment_ends_as_an_undisturbed_one(tmp_path):
    def line(folder):
        budget = ("--trials", str(TRIALS), "--epochs", str(EPOCHS), "--tuner", "bayesian", "--seconds", "0.1")
        return stub.__file__, folder, *budget

    def journals(folder):
        found = sorted(folder.glob("tuner/trials/*/journal.json"))
        return {path.parent.name: json.loads(path.read_text()) for path in found}

    writes = killing.watched(line(tmp_path / "whole"), tmp_path / "whole", tmp_path / "whole.log")
    whole, had = journals(tmp_path / "whole"), {}
    assert len(whole) == TRIALS

    def place(life):
        had.clear()
        return tmp_path / f"life{life}"

    def nothing_lost(folder):
        found = journals(folder)
        for name, before in had.items():
            assert len(found[name]["epochs"]) >= len(before["epochs"])
            assert found[name]["values"] == before["values"]
            assert found[name]["score"] == before["score"] or before["score"] is None
        had.update(found)

    def the_same(folder):
        found = journals(folder)
        assert found.keys() == whole.keys()
        for name, undisturbed in whole.items():
            for what in ("values", "score", "outcome"):
                assert found[name][what] == undisturbed[what], (name, what)
        for name, epochs in trained(folder).items():
            # Between an epoch's checkpoint and its note here a kill may fall: it then is not noted, but never twice.
            numbers = [epoch for epoch, _ in epochs]
            assert numbers == sorted(set(numbers)), name

    needed = frozenset({"start", "journal.json", "checkpoint"})
    killed = killing.again_and_again(
        line, place, writes, 20, stage=stage, needed=needed, after_kill=nothing_lost, at_end=the_same
    )
    print(f"tune: {killed}")
    assert killed.stages.total() >= 20
