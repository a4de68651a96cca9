"""What a search costs: the measuring itself, on searches that train nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pneumo_tfds.errors import InputError
from tuning import cost


def test_every_trial_is_paired_with_a_bare_fit_of_its_own_values_but_the_first(plan, search):
    fitted = []
    made = plan(max_trials=4)
    tuner = search(made)
    pairs = list(cost.pairs_of(tuner, made, fitted.append))
    assert len(pairs) == 3
    assert all(bare >= 0 and trial > 0 for bare, trial, _, _ in pairs)
    begun = [tuner.oracle.trials[name].hyperparameters.values for name in tuner.oracle.start_order]
    assert [made.values(config) for config in fitted] == [made.drawn_values(drawn) for drawn in begun]
    assert {config.fit.epochs for config in fitted} == {3}


def test_memory_is_noted_after_every_trial(plan, search):
    found = cost.after_each_trial(lambda note: search(plan(max_trials=3), on_trial=note))
    assert len(found) == 3
    assert all(one > 10 for one in found)


def test_workers_are_confined_to_cores_and_set_free_again():
    import os

    before = os.sched_getaffinity(0)
    with cost._confined_to({min(before)}):
        code = "import os; print(len(os.sched_getaffinity(0)))"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
    assert os.sched_getaffinity(0) == before


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no built dataset"):
        cost.Memory(dataset=tmp_path).settings()


@pytest.mark.long
@pytest.mark.parametrize("part", ["overhead", "memory", "workers"])
def test_each_command_measures_and_writes_its_figures(tmp_path, part):
    from pneumo_tfds.prepared import prepare

    dataset = prepare(None, 32, tmp_path / "data", phantoms=60)
    flags = ["--dataset", str(dataset), "--trials", "3", "--trial-epochs", "1", "--batch-size", "16"]
    command = [sys.executable, "-m", "tuning.cost", part, *flags, "--json", str(tmp_path / "cost.json")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads((tmp_path / "cost.json").read_text())
    assert figures["asked"]["trials"] == "3"
    assert {"overhead": "a trial takes ", "memory": "after trial 3", "workers": "times as fast"}[part] in ended.stdout
