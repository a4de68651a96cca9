"""A search while it runs: what is shown and written of its trials, alone, with workers, and as a cluster's chief."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from rich.console import Console

import stub_search as stub
from pipeline.run_folder.folder import RunFolder
from pipeline.tracking.tracking import Tracking
from pneumo_tfds.program.errors import InputError
from tuning import trials
from tuning.search import kerastuner_roles
from tuning.search.search_folder import SearchFolder


@contextmanager
def alone():
    """Take KerasTuner's variables away for a while: a chief's search would wait for workers."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (kerastuner_roles.TUNER, kerastuner_roles.ADDRESS, kerastuner_roles.PORT):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """Run the trials of a plan in searches that train nothing; give what was printed."""
    make_tuner = trials.make_tuner

    def run(plan, *, terminal=False, train=None):
        def make(plan, data, folder, **how):
            with alone():
                return make_tuner(plan, data, folder, folds=[(train or stub.training(), stub.score)], **how)

        monkeypatch.setattr(trials, "make_tuner", make)
        console = Console(file=io.StringIO(), width=200, force_terminal=terminal)
        run = RunFolder(tmp_path / "run")
        tracking = Tracking(run.path, [], "search", resume=False)
        trials.run_trials(plan, None, run, SearchFolder(run), console, tracking)
        return console.file.getvalue()

    return run


@pytest.fixture
def served(monkeypatch):
    """A chief that tries the trials itself; give what it was asked for."""
    asked = SimpleNamespace(workers="not asked")

    def serve(tuner, workers, report, on_tick):
        asked.workers, asked.role, asked.environment = workers, kerastuner_roles.role(), dict(os.environ)
        on_tick()
        with alone():
            tuner.search()
        on_tick()
        on_tick()
        report("worker2 ended by signal 9")

    monkeypatch.setattr("tuning.local_workers.serve", serve)
    return asked


def leaderboard(tmp_path):
    with (tmp_path / "run" / "tuner" / "leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_trial_is_a_line_in_a_log(plan, shown, tmp_path):
    lines = shown(plan(max_trials=3)).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["trial 1", "trial 2", "trial 3"]
    assert all("best so far" in line for line in lines)
    assert len(leaderboard(tmp_path)) == 3
    assert not (tmp_path / "run" / "tracking").exists()  # off unless asked for


def test_every_trial_is_a_table_in_a_terminal(plan, shown):
    assert shown(plan(max_trials=3), terminal=True).count("Leaderboard") == 3


def test_a_search_whose_trials_all_fail_ends_with_the_last_reason(plan, shown):
    from pipeline.training.fit import DivergedError

    def train(config, **_):
        raise DivergedError("the loss is no longer finite")

    with pytest.raises(InputError, match=r"its last trials all failed.*the loss is no longer"):
        shown(plan(max_trials=9), train=train)


@pytest.mark.parametrize("terminal", [False, True])
def test_workers_are_started_under_a_chief_and_each_trial_is_shown_once(plan, shown, served, tmp_path, terminal):
    before = dict(os.environ)
    text = shown(plan(max_trials=3, workers=2), terminal=terminal)
    workers = served.workers
    assert (workers.count, workers.logs, workers.gpus) == (2, tmp_path / "run" / "tuner" / "logs", 0)
    assert workers.command[1:] == ["-m", "tuning.worker", "--run-dir", str(tmp_path / "run")]
    assert served.role == "chief"
    assert served.environment[kerastuner_roles.PORT] == str(workers.port)
    assert dict(os.environ) == before  # what follows is no chief's work
    assert text.count("2 workers; their output is in ") == 1
    assert text.count("worker2 ended by signal 9") == 1
    assert text.count("best so far") == (0 if terminal else 3)
    assert ("Leaderboard" in text) == terminal
    assert len(leaderboard(tmp_path)) == 3


def test_there_are_never_more_workers_than_trials(plan, shown, served):
    shown(plan(max_trials=2, workers=5))
    assert served.workers.count == 2
    served.workers = "not asked"
    shown(plan(max_trials=1, workers=5))
    assert served.workers == "not asked"


def test_a_clusters_chief_starts_no_workers_and_a_complete_search_asks_for_none(plan, shown, served, monkeypatch):
    monkeypatch.setattr(kerastuner_roles, "role", lambda: "chief")
    assert shown(plan(max_trials=2)).count("best so far") == 2
    assert served.workers is None
    served.workers = "not asked"
    assert shown(plan(max_trials=2)) == ""  # resumed when all was done
    assert served.workers == "not asked"


def test_a_worker_keeps_the_minutes_of_its_chief(plan, search, monkeypatch):
    hour = plan(minutes=60)
    chief = search(hour)
    chief.oracle.seconds_before = 3000.0  # as after a resume
    chief.save()
    for name, value in kerastuner_roles.environment("worker1", 1).items():
        monkeypatch.setenv(name, value)
    worker = search(hour)
    assert worker.deadline() == pytest.approx(chief.deadline(), abs=5)
    assert worker.deadline() == pytest.approx(time.time() + 600, abs=60)
    file = search.trials / "oracle.json"
    state = json.loads(file.read_text())
    file.write_text(json.dumps(state | {"saved_at": state["saved_at"] - 300}))  # nothing was written since
    assert worker.deadline() == pytest.approx(chief.deadline() - 300, abs=5)
    file.write_text("{}")
    with pytest.raises(InputError, match=r"oracle\.json is not the state of a search"):
        worker.deadline()
