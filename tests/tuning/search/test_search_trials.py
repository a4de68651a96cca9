"""What happens inside a search: trials trained, failed, stopped and handed on."""

from __future__ import annotations

import json
import threading

import pytest

import stub_search as stub
from pneumo_tfds.program.errors import InputError
from tuning.search.journal import Journal


def journals(search):
    return [Journal.read(folder) for folder in sorted(search.trials.glob("trial_*"))]


def test_the_search_finds_more_than_it_started_with(plan, search):
    tuner = search(plan(max_trials=10))
    tuner.search()
    best = tuner.oracle.get_best_trials(1)[0]
    assert best.score > journals(search)[0].score
    assert best.trial_id != "00"


def test_a_trial_trains_trial_epochs_with_its_own_values_and_the_runs_other_settings(plan, search):
    seen = []

    def train(config, **keywords):
        seen.append(config)
        return stub.training()(config, **keywords)

    made = plan(max_trials=3, trial_epochs=2)
    search(made, train).search()
    assert [config.fit.epochs for config in seen] == [2, 2, 2]
    assert {config.fit.seed for config in seen} == {made.start.fit.seed}
    assert len({config.fit.learning_rate for config in seen}) == 3
    assert {config.augment for config in seen} == {made.start.augment}


def test_a_diverged_trial_is_recorded_and_skipped(plan, search, capsys):
    from pipeline.training.fit import DivergedError

    def train(config, *, description, **keywords):
        if "2/" in description:
            raise DivergedError("the loss is no longer finite in epoch 1")
        return stub.training()(config, description=description, **keywords)

    search(plan(max_trials=4), train).search()
    found = journals(search)
    assert [account.outcome for account in found] == ["finished", "failed", "finished", "finished"]
    assert "no longer finite" in found[1].reason
    assert json.loads((search.trials / "trial_1" / "trial.json").read_text())["status"] == "FAILED"
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_nobody_foresaw_fails_its_trial_and_is_recorded(plan, search):
    def train(config, *, description, **keywords):
        if "1/" in description:
            raise ZeroDivisionError("division by zero")
        return stub.training()(config, description=description, **keywords)

    search(plan(max_trials=2), train).search()
    assert [account.outcome for account in journals(search)] == ["failed", "finished"]
    assert journals(search)[0].reason == "ZeroDivisionError: division by zero"


def test_settings_that_fit_no_trial_stop_the_search_with_the_reason(plan, search):
    def train(config, **keywords):
        raise InputError("--batch-size is 32, but train holds 20 images; choose a smaller one")

    with pytest.raises(InputError, match="--batch-size is 32"):
        search(plan(max_trials=4), train).search()
    assert len(list(search.trials.glob("trial_*"))) == 1


def test_ctrl_c_ends_the_search_at_once(plan, search):
    def train(config, **keywords):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(plan(max_trials=4), train).search()


def test_trials_below_the_median_are_stopped_and_the_best_is_not(plan, search):
    tuner = search(plan(max_trials=20, median_stopping=True, trial_epochs=4))
    tuner.search()
    found = journals(search)
    stopped = [account for account in found if account.outcome == "stopped early"]
    assert stopped
    assert all(len(account.epochs) < 4 for account in stopped)
    assert max(found, key=lambda account: account.score).outcome == "finished"
    assert {account.outcome for account in found[:4]} == {"finished"}


def test_a_trial_killed_after_it_was_stopped_early_trains_no_epoch_more(plan, search):
    class Killed(BaseException):
        pass

    ended = []

    def train(config, *, folder, **keywords):
        fitted = stub.training()(config, folder=folder, **keywords)
        account = Journal.read(folder.parent)
        if account.outcome == "stopped early":
            ended.append((folder.parent, account))
            raise Killed
        return fitted

    made = plan(max_trials=20, median_stopping=True, trial_epochs=4)
    with pytest.raises(Killed):
        search(made, train).search()
    search(made).search()
    [(folder, before)] = ended
    after = Journal.read(folder)
    assert (after.outcome, after.epochs) == ("stopped early", before.epochs)
    assert after.score is not None


def test_hyperband_goes_on_from_the_weights_of_the_earlier_trial(plan, search):
    search(plan(tuner="hyperband", max_trials=5, trial_epochs=3, median_stopping=True)).search()
    found = journals(search)
    assert [len(account.epochs) for account in found[:3]] == [1, 1, 1]
    promoted = found[3]
    assert (promoted.inherited, len(promoted.epochs)) == (1, 3)
    best = max(found[:3], key=lambda account: account.score)
    assert promoted.values == best.values
    assert promoted.epochs[0] == best.epochs[0]
    own = (search.trials / "trial_3" / "trained.txt").read_text().splitlines()
    assert [line.split()[0] for line in own] == ["2", "3"]


def test_a_round_killed_after_its_last_epoch_trains_no_epoch_more(plan, search):
    class Killed(BaseException):
        pass

    def train(config, **keywords):
        stub.training()(config, **keywords)
        raise Killed

    made = plan(tuner="hyperband", max_trials=4, trial_epochs=3)
    with pytest.raises(Killed):
        search(made, train).search()
    search(made).search()
    assert [len(account.epochs) for account in journals(search)] == [1, 1, 1, 3]


def test_when_time_is_up_the_running_trial_ends_too(plan, search):
    tuner = search(plan(max_trials=3, minutes=1.0))
    tuner.deadline = lambda: 1.0
    tuner.search()
    assert {account.outcome for account in journals(search)} == {"out of time"}
    assert {len(account.epochs) for account in journals(search)} == {1}


def test_checkpoints_of_finished_trials_are_removed(plan, search):
    search(plan(max_trials=2)).search()
    assert not list(search.trials.glob("*/checkpoint"))


def test_every_ended_trial_is_announced(plan, search):
    calls = []
    search(plan(max_trials=3), on_trial=lambda: calls.append(1)).search()
    assert len(calls) == 3


def test_a_worker_whose_trial_was_given_to_another_writes_and_reports_nothing(plan, search, monkeypatch):
    tuner = search(plan(max_trials=1))
    reported, taken = [], iter([True])
    monkeypatch.setattr(tuner.oracle, "end_trial", lambda trial: reported.append(trial.status) or end(trial))
    end = type(tuner.oracle).end_trial.__get__(tuner.oracle)
    tuner.reassigned = lambda: next(taken, False)
    tuner.search()
    # Asked again, the oracle gave the same trial here; its first attempt left no trace but its checkpoint.
    assert reported == ["COMPLETED"]
    assert [epoch["epoch"] for epoch in journals(search)[0].epochs] == [1, 2, 3]
    assert journals(search)[0].outcome == "finished"


@pytest.mark.parametrize(("answer", "lost"), [("7", False), ("8", True)])
def test_a_heartbeat_hears_whether_the_trial_is_still_its_own(monkeypatch, answer, lost):
    from types import SimpleNamespace

    from tuning.search.heartbeat import heartbeat

    monkeypatch.setattr("tuning.search.kerastuner_roles.heartbeat_seconds", lambda: 0.001)
    asked = threading.Event()

    def ask(worker):
        asked.set()
        return SimpleNamespace(trial_id=answer)

    with heartbeat(ask, "worker1", "7") as reassigned:
        assert asked.wait(30)
    assert reassigned() is lost


def test_a_heartbeat_outlives_a_chief_that_is_started_again(monkeypatch):
    from types import SimpleNamespace

    import grpc

    from tuning.search.heartbeat import heartbeat

    monkeypatch.setattr("tuning.search.kerastuner_roles.heartbeat_seconds", lambda: 0.001)
    answers, heard = iter([grpc.RpcError(), grpc.RpcError()]), threading.Event()

    def ask(worker):
        for error in answers:
            raise error
        heard.set()
        return SimpleNamespace(trial_id="7")

    with heartbeat(ask, "worker1", "7") as reassigned:
        assert heard.wait(30)
    assert not reassigned()


def test_a_chief_that_falls_silent_ends_its_worker_with_one_line(plan, search, monkeypatch):
    import grpc

    from tuning.search import kerastuner_roles

    for name, value in kerastuner_roles.environment("worker1", 8123).items():
        monkeypatch.setenv(name, value)
    tuner = search(plan(max_trials=1))

    def silent(tuner_id):
        raise grpc.RpcError

    monkeypatch.setattr(tuner.oracle, "create_trial", silent)
    with pytest.raises(InputError, match=r"chief at 127\.0\.0\.1:8123 has not answered for 300 s; start it again"):
        tuner.search()


def test_trials_below_the_median_are_stopped_under_an_objective_that_is_computed_at_the_end(plan, search):
    search(plan(max_trials=20, median_stopping=True, trial_epochs=4, objective="shifted_auroc")).search()
    assert any(account.outcome == "stopped early" for account in journals(search))
