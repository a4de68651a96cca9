"""KerasTuner's algorithms with our corrections: nothing lost, repeated or stalled."""

from __future__ import annotations

import json

import pytest

import stub_search as stub

TUNERS = ("bayesian", "hyperband", "random", "grid")


def values(search):
    """Give what each trial drew, in the order they were begun."""
    return [
        json.loads((search.trials / f"trial_{name}" / "journal.json").read_text())["values"]
        for name in json.loads((search.trials / "oracle.json").read_text())["start_order"]
    ]


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def dying(train, trial):
    """Die in the given trial (counted from 1) after its first epoch."""
    seen = set()

    def run(config, *, folder, on_epoch, **keywords):
        seen.add(folder)

        def fatal(row):
            stop = on_epoch(row)
            if len(seen) == trial:
                raise Killed
            return stop

        return train(config, folder=folder, on_epoch=fatal, **keywords)

    return run


@pytest.mark.parametrize("tuner", TUNERS)
def test_the_first_trial_has_the_starting_values(plan, search, tuner):
    made = plan(tuner=tuner, max_trials=2)
    search(made).search()
    assert values(search)[0] == stub.values(made, made.base)
    assert values(search)[1] != values(search)[0]


@pytest.mark.parametrize("tuner", ["bayesian", "hyperband", "random"])
def test_a_run_with_other_values_tries_the_studys_second(plan, search, tuner):
    from tuning.search.space import STUDY

    made = plan(tuner=tuner, max_trials=3)
    search(made).search()
    assert values(search)[0] == stub.values(made, made.base) != STUDY
    assert values(search)[1] == STUDY
    assert values(search)[2] not in values(search)[:2]


def test_the_studys_values_are_left_out_where_the_users_range_does_not_hold_them(plan, search):
    made = plan(max_trials=2, ranges=("learning_rate=1e-4:5e-4",))
    search(made).search()
    assert all(found["learning_rate"] <= 5e-4 for found in values(search))


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_killed_search_goes_on_as_if_nothing_had_been(plan, search, tuner, tmp_path):
    made = plan(tuner=tuner, max_trials=6)
    search(made).search()
    whole = values(search)
    search.trials.rename(tmp_path / "whole")

    with pytest.raises(Killed):
        search(made, dying(stub.training(), trial=4)).search()
    search(made).search()
    assert values(search) == whole
    epochs = [line.split()[0] for line in (search.trials / "trial_3" / "trained.txt").read_text().splitlines()]
    assert epochs == sorted(set(epochs)), "an epoch was trained twice"


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_finished_search_is_not_begun_again(plan, search, tuner):
    made = plan(tuner=tuner, max_trials=3)
    search(made).search()
    before = {path: path.read_text() for path in search.trials.glob("*/trained.txt")}
    search(made).search()
    assert {path: path.read_text() for path in search.trials.glob("*/trained.txt")} == before


def test_a_trial_that_ended_a_moment_before_the_kill_is_not_repeated(plan, search, monkeypatch):
    made = plan(max_trials=3)
    tuner = search(made)
    original = type(tuner.oracle).end_trial

    def end_and_die(self, trial):
        original(self, trial)
        raise Killed

    # KerasTuner saves the state before it takes the trial off the list of running ones.
    monkeypatch.setattr(type(tuner.oracle), "end_trial", end_and_die)
    with pytest.raises(Killed):
        tuner.search()
    monkeypatch.undo()
    search(made).search()
    assert len((search.trials / "trial_0" / "trained.txt").read_text().splitlines()) == 3
    assert len(values(search)) == 3


def test_a_trial_recorded_a_moment_before_the_kill_is_drawn_again(plan, search):
    made = plan(tuner="bayesian", max_trials=3)
    with pytest.raises(Killed):
        search(made, dying_at_once).search()
    # The kill fell between KerasTuner's two writes: the trial is there, the search's state knows nothing of it.
    state = json.loads((search.trials / "oracle.json").read_text())
    state |= {"start_order": [], "ongoing_trials": {}, "id_to_hash": {}, "tried_so_far": []}
    (search.trials / "oracle.json").write_text(json.dumps(state))
    search(made).search()
    assert len(values(search)) == 3
    assert values(search)[0] == stub.values(made, made.base)


def dying_at_once(config, **keywords):
    raise Killed


def test_half_a_file_never_takes_the_place_of_a_whole_one(plan, search, monkeypatch):
    made = plan(max_trials=2)
    tuner = search(made)
    tuner.search()
    whole = (search.trials / "oracle.json").read_text()
    monkeypatch.setattr(
        "pathlib.Path.write_text", lambda self, *_, **__: self.open("w").write("{") and (_ for _ in ()).throw(Killed)
    )
    with pytest.raises(Killed):
        tuner.save()
    assert (search.trials / "oracle.json").read_text() == whole


def test_more_trials_may_be_asked_for_on_resume(plan, search):
    search(plan(tuner="grid", max_trials=3)).search()
    search(plan(tuner="grid", max_trials=12)).search()
    drawn = [tuple(found.items()) for found in values(search)]
    assert len(drawn) == len(set(drawn)) == 12


def test_a_grid_is_exhausted_without_repeats(plan, search):
    made = plan(tuner="grid", max_trials=1000, ranges=("l1=0", "l2=0"), trial_epochs=1)
    search(made).search()
    drawn = [tuple(found.items()) for found in values(search)]
    assert len(drawn) == len(set(drawn)) == 16  # 3 levels and the start, of two parameters


def test_a_grid_gives_every_worker_something_to_do(plan, search):
    tuner = search(plan(tuner="grid", max_trials=9))
    given = [tuner.oracle.create_trial(f"worker{number}") for number in range(3)]
    assert [trial.status for trial in given] == ["RUNNING"] * 3
    assert len({tuple(trial.hyperparameters.values.items()) for trial in given}) == 3


def test_bayes_begins_to_model_before_a_short_search_is_over(plan, search, monkeypatch):
    tuner = search(plan(tuner="bayesian", max_trials=8))
    fits = []
    monkeypatch.setattr(
        tuner.oracle.gpr, "fit", lambda x, y: fits.append(len(y)) or type(tuner.oracle.gpr).fit(tuner.oracle.gpr, x, y)
    )
    tuner.search()
    assert fits == [3, 4, 5, 6, 7]


def test_hyperband_keeps_to_max_trials(plan, search):
    search(plan(tuner="hyperband", max_trials=5, trial_epochs=3)).search()
    assert len(values(search)) == 5


def test_too_many_failures_in_a_row_end_the_search(plan, search):
    tuner = search(plan(max_trials=20))
    from tuning.search.oracles import FAILURES_IN_A_ROW

    def failing(config, **keywords):
        from pipeline.training.fit import DivergedError

        raise DivergedError("the loss is no longer finite")

    tuner.folds = [(failing, stub.score)]
    tuner.search()
    assert tuner.oracle.failed_in_a_row()
    assert len(list(search.trials.glob("trial_*"))) == FAILURES_IN_A_ROW


def test_a_budget_in_epochs_or_minutes_begins_no_trial_beyond_it(plan, search):
    search(plan(max_trials=50, epoch_budget=7)).search()
    assert len(list(search.trials.glob("trial_*"))) == 3  # 3 + 3 epochs are below 7, 9 are not
    tuner = search(plan(max_trials=50, minutes=1.0))
    tuner.oracle.seconds_before = 59.999
    tuner.oracle.started -= 1
    tuner.search()
    assert len(list(search.trials.glob("trial_*"))) == 3


def lost_after(oracle, worker, seconds):
    """Pretend that a worker was last heard of so long ago."""
    oracle.last_heard[worker] -= seconds


def test_a_silent_workers_trial_goes_to_the_next_that_asks(plan, search):
    oracle = search(plan(max_trials=3)).oracle
    first, other = oracle.create_trial("worker1"), oracle.create_trial("worker2")
    assert oracle.reclaim(60) == []
    lost_after(oracle, "worker1", 61)
    assert oracle.reclaim(60) == [("worker1", first)]
    assert oracle.reclaim(60) == []
    assert oracle.create_trial("worker3").trial_id == first.trial_id
    assert oracle.create_trial("worker2") is other
    # The silent one was only slow: it learns that the trial is another's, from being given the next.
    assert oracle.create_trial("worker1").trial_id not in (first.trial_id, other.trial_id)


def ended(trial, value=0.9):
    trial.metrics.register("validation_auroc", direction="max")
    trial.metrics.update("validation_auroc", value)
    trial.status = "COMPLETED"
    return trial


def test_an_end_that_two_workers_report_counts_once(plan, search):
    oracle = search(plan(max_trials=2)).oracle
    trial = oracle.create_trial("worker1")
    lost_after(oracle, "worker1", 61)
    oracle.reclaim(60)
    oracle.create_trial("worker2")
    oracle.end_trial(ended(trial))
    oracle.end_trial(trial)
    assert oracle.end_order == [trial.trial_id]
    assert not oracle.ongoing_trials


def test_no_worker_goes_home_while_anothers_trial_may_have_to_be_given_out_again(plan, search):
    oracle = search(plan(max_trials=1)).oracle
    trial = oracle.create_trial("worker1")
    assert oracle.create_trial("worker2").status == "IDLE"
    assert not oracle.all_dismissed()
    lost_after(oracle, "worker1", 61)
    oracle.reclaim(60)
    assert oracle.create_trial("worker2").trial_id == trial.trial_id
    oracle.end_trial(ended(trial))
    assert not oracle.all_dismissed()
    assert oracle.create_trial("worker2").status == "STOPPED"
    assert oracle.all_dismissed()


def test_after_a_chiefs_restart_each_worker_keeps_its_own_trial(plan, search):
    made = plan(max_trials=4)
    oracle = search(made).oracle
    held = {worker: oracle.create_trial(worker).trial_id for worker in ("worker1", "worker2", "worker3")}
    oracle = search(made).oracle
    assert {worker: oracle.create_trial(worker).trial_id for worker in held} == held


def test_a_trial_that_costs_three_workers_counts_as_failed(plan, search):
    from tuning.local_workers import MAXIMUM_LOSSES, WorkerLosses
    from tuning.search.journal import Journal

    said = []
    tuner = search(plan(max_trials=2))
    losses = WorkerLosses(tuner, said.append)
    for number in range(MAXIMUM_LOSSES):
        worker = f"worker{number}"
        trial = tuner.oracle.create_trial(worker)
        assert trial.trial_id == "0"
        lost_after(tuner.oracle, worker, 61)
        for name, lost in tuner.oracle.reclaim(60):
            losses.add(name, "was not heard from", lost)
    assert said[-1] == "trial 1 has cost 3 workers; it counts as failed"
    assert Journal.read(search.trials / "trial_0").outcome == "failed"
    assert tuner.oracle.create_trial("worker9").trial_id == "1"


@pytest.mark.parametrize("tuner", ["bayesian", "hyperband", "random"])
def test_no_trial_repeats_the_values_of_an_earlier_one_after_rounding(plan, search, tuner):
    """Three batch sizes, and L1 that is zero or above 0.5: many draws stand for the same values."""
    ranges = ("batch_size=31:33", "learning_rate=2e-4", "dropout=0.1", "l1=0.5:1", "l2=0")
    made = plan(tuner=tuner, max_trials=9, trial_epochs=1, ranges=ranges)
    search(made).search()
    found = [tuple(one.values()) for one in values(search)]
    assert len(set(found)) == len(found) == 9


def test_a_search_that_finds_nothing_new_ends(plan, search):
    fixed = ("learning_rate=2e-4", "dropout=0.1", "l1=0", "l2=0")
    made = plan(tuner="random", max_trials=9, ranges=("batch_size=31:33", *fixed))
    tuner = search(made)
    tuner.search()
    assert sorted(one["batch_size"] for one in values(search)) == [31, 32, 33]
    assert tuner.oracle.exhausted
