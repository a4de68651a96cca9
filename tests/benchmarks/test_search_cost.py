"""What a search costs: the measuring itself, on searches that train nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

import stub_search as stub
from benchmarks import search_cost
from pneumo_tfds.program.errors import InputError


@pytest.fixture
def tuner(tmp_path, monkeypatch):
    """Return a function that makes the tuner of a search of so many stubbed trials."""
    monkeypatch.setattr("tuning.search.tuner.releasing_memory", nullcontext)
    return lambda trials, **options: stub.tuner(tmp_path / "run", stub.plan(max_trials=trials), **options)


def test_every_trial_is_paired_with_a_bare_fit_of_its_own_values_but_the_first(tuner):
    fitted = []
    made = tuner(4)
    plan, oracle = made.plan, made.oracle
    pairs = list(search_cost.pairs_of(made, plan, fitted.append))
    assert len(pairs) == 3
    assert all(bare >= 0 and trial > 0 for bare, trial, _, _ in pairs)
    begun = [oracle.trials[name].hyperparameters.values for name in oracle.start_order]
    assert [stub.values(plan, config) for config in fitted] == [plan.drawn_values(drawn) for drawn in begun]
    assert {config.fit.epochs for config in fitted} == {3}


def test_memory_is_noted_after_every_trial(tuner):
    found = search_cost.after_each_trial(lambda note: tuner(3, on_trial=note))
    assert len(found) == 3
    assert all(one > 10 for one in found)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """Stand in for a built dataset, its search and its training; give the folder."""
    from tuning import trials

    make = trials.make_tuner
    data = SimpleNamespace(train=None, validation=None, identity=lambda: stub.DATA)
    score = lambda config, fitted: fitted.best.validation_auroc  # noqa: E731

    def stubbed(plan, data, folder, **options):
        return make(plan, None, folder, train=stub.training(), score=score, **options)

    monkeypatch.setattr("pneumo_tfds.prepared.is_built", lambda folder: True)
    monkeypatch.setattr("tuning.search.search_folder.open_data", lambda settings: data)
    monkeypatch.setattr("tuning.trials.make_tuner", stubbed)
    monkeypatch.setattr("pipeline.training.fit.fit", lambda config, *, train, validation: None)
    return tmp_path / "gray_32" / "1.0.0"


def test_overhead_prints_every_pair_and_writes_them(dataset, tmp_path, capsys):
    search_cost.overhead(search_cost.Overhead(dataset=dataset, trials=3, trial_epochs=1, json=tmp_path / "cost.json"))
    written = json.loads((tmp_path / "cost.json").read_text())
    assert len(written["pairs"]) == 2
    assert written["asked"]["dataset"] == str(dataset)
    assert "json" not in written["asked"]
    assert "mean: a trial takes " in capsys.readouterr().out


def test_memory_is_compared_with_what_it_was_when_settled(dataset, tmp_path, capsys):
    search_cost.memory(search_cost.Memory(dataset=dataset, trials=7, json=tmp_path / "cost.json"))
    found = json.loads((tmp_path / "cost.json").read_text())["mebibytes"]
    assert len(found) == 7
    text = capsys.readouterr().out
    assert (
        f"after trial 5: {found[4]:.0f} MiB; after trial 7: {found[6]:.0f} MiB ({found[6] / found[4] - 1:+.1%})" in text
    )


def test_one_worker_and_two_take_turns_at_going_first(dataset, tmp_path, monkeypatch, capsys):
    confined, searches = [], []

    @contextmanager
    def note(cores):
        confined.append(cores)
        yield

    def search(folder):
        searches.append(json.loads((folder / "config.json").read_text())["search"]["workers"])
        return 12.0 if searches[-1] == 1 else 8.0

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    monkeypatch.setattr(search_cost, "confined_to", note)
    monkeypatch.setattr(search_cost, "search_seconds", search)
    search_cost.workers(search_cost.Workers(dataset=dataset, rounds=2, json=tmp_path / "cost.json"))
    assert searches == [1, 2, 2, 1]
    assert confined == [{3}, {3, 5}, {3, 5}, {3}]
    written = json.loads((tmp_path / "cost.json").read_text())
    assert (written["one"], written["two"]) == ([12.0, 12.0], [8.0, 8.0])
    assert "two workers are 1.50 times as fast" in capsys.readouterr().out


def test_two_workers_on_one_core_are_refused(dataset, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with pytest.raises(InputError, match="two workers need two cores"):
        search_cost.workers(search_cost.Workers(dataset=dataset))


def test_a_search_is_timed_and_one_that_fails_has_no_time(tmp_path, monkeypatch):
    begun = []

    def run(command, *, env, **_):
        begun.append((command, env["OMP_NUM_THREADS"]))
        return SimpleNamespace(returncode=len(begun) - 1)

    monkeypatch.setattr(subprocess, "run", run)
    assert 0 < search_cost.search_seconds(tmp_path) < 60
    assert begun == [([sys.executable, "-m", "tuning", "--run-dir", str(tmp_path)], "1")]
    with pytest.raises(InputError, match="the search failed"):
        search_cost.search_seconds(tmp_path)


def test_workers_are_confined_to_cores_and_set_free_again():
    before = os.sched_getaffinity(0)
    with search_cost.confined_to({min(before)}):
        code = "import os; print(len(os.sched_getaffinity(0)))"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
    assert os.sched_getaffinity(0) == before


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no built dataset"):
        search_cost.Memory(dataset=tmp_path).settings()


@pytest.mark.long
@pytest.mark.parametrize("part", ["overhead", "memory", "workers"])
def test_each_command_measures_and_writes_its_figures(tmp_path, part):
    from pneumo_tfds.prepared import prepare

    dataset = prepare(None, 32, tmp_path / "data", phantoms=60)
    flags = ["--dataset", str(dataset), "--trials", "3", "--trial-epochs", "1", "--batch-size", "16"]
    command = [sys.executable, "-m", "benchmarks.search_cost", part, *flags, "--json", str(tmp_path / "cost.json")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads((tmp_path / "cost.json").read_text())
    assert figures["asked"]["trials"] == "3"
    assert {"overhead": "a trial takes ", "memory": "after trial 3", "workers": "times as fast"}[part] in ended.stdout
