"""Trials that train a network in each fold: their score, where they stop, and how they go on."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

import stub_search as stub
from pipeline.config import DataConfig, RunConfig, SearchConfig
from pneumo_tfds.program.errors import InputError
from tuning.results import leaderboard
from tuning.search.journal import Journal
from tuning.search.trial_folds import train_in_folds

FOLDS = 3


class Killed(BaseException):
    pass


def journals(search):
    return [Journal.read(folder) for folder in sorted(search.trials.glob("trial_*"))]


def test_the_score_of_a_trial_is_the_mean_of_those_of_its_folds(plan, search, tmp_path):
    made = plan(max_trials=2, trial_folds=FOLDS)
    tuner = search(made)
    plain = stub.training()
    scores = iter([0.90, 0.93, 0.99, 0.80, 0.80, 0.83])
    tuner.folds = [(plain, lambda config, fitted: next(scores))] * FOLDS
    tuner.search()
    assert [account.scores for account in journals(search)] == [(0.90, 0.93, 0.99), (0.80, 0.80, 0.83)]
    assert [account.score for account in journals(search)] == pytest.approx([0.94, 0.81])
    assert [trial.score for trial in tuner.oracle.get_best_trials(2)] == pytest.approx([0.94, 0.81])
    assert [epoch["epoch"] for epoch in journals(search)[0].epochs] == list(range(1, 3 * FOLDS + 1))
    rows = leaderboard.rows(search.trials, made.objective)
    assert [row.figure for row in rows] == ["0.9400 ± 0.0458", "0.8100 ± 0.0173"]
    leaderboard.write_csv(rows, made.objective, tmp_path / "leaderboard.csv")
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        assert [row["deviation"] for row in csv.DictReader(file)] == ["0.045826", "0.017321"]


def test_without_folds_no_deviation_is_claimed(plan, search):
    search(plan(max_trials=1)).search()
    (row,) = leaderboard.rows(search.trials, plan().objective)
    assert row.deviation is None
    assert "±" not in row.figure


def test_the_epoch_budget_counts_the_epochs_of_all_folds(plan, search):
    search(plan(max_trials=9, epoch_budget=10, trial_folds=FOLDS), folds=FOLDS).search()
    assert [len(account.epochs) for account in journals(search)] == [9, 9]


def test_a_trial_below_the_median_in_its_first_fold_ends_there_in_every_fold(plan, search):
    search(plan(max_trials=9, median_stopping=True, trial_epochs=4, trial_folds=FOLDS), folds=FOLDS).search()
    found = journals(search)
    stopped = [account for account in found if account.outcome == "stopped early"]
    assert stopped
    for account in stopped:
        assert account.stopped_after < 4
        assert len(account.epochs) == FOLDS * account.stopped_after
        assert len(account.scores) == FOLDS
    assert {len(account.epochs) for account in found if account.outcome == "finished"} == {FOLDS * 4}


def test_when_time_is_up_every_fold_that_is_left_trains_one_epoch(plan, search):
    tuner = search(plan(max_trials=1, minutes=1.0, trial_folds=FOLDS), folds=FOLDS)
    tuner.deadline = lambda: 1.0
    tuner.search()
    (account,) = journals(search)
    assert (account.outcome, len(account.epochs), len(account.scores)) == ("out of time", FOLDS, FOLDS)


@pytest.mark.parametrize("median", [False, True])
def test_a_search_killed_in_a_later_fold_goes_on_there_as_if_undisturbed(plan, search, tmp_path, median):
    """Killed once in every fold of the last trial; with `median`, that trial was stopped early in its first fold."""
    made = plan(max_trials=9 if median else 2, median_stopping=median, trial_epochs=4, trial_folds=FOLDS)
    stub.tuner(tmp_path / "undisturbed", made, folds=FOLDS).search()
    undisturbed = [Journal.read(folder) for folder in sorted((tmp_path / "undisturbed").glob("tuner/trials/trial_*"))]
    last = max(n for n, one in enumerate(undisturbed) if (one.outcome == "stopped early") == median)
    trained, kills = [], {(last, fold): True for fold in range(1, FOLDS + 1)}
    plain = stub.training()

    def train(config, *, description, on_epoch, **keywords):
        place = int(description.split()[1].split("/")[0]) - 1, int(description.split("fold ")[1].split("/")[0])

        def epoch(row):
            trained.append((*place, row.epoch))
            stop = on_epoch(row)
            if kills.pop(place, False):
                raise Killed
            return stop

        return plain(config, description=description, on_epoch=epoch, **keywords)

    for _ in range(FOLDS):
        with pytest.raises(Killed):
            search(made, train, folds=FOLDS).search()
    search(made, train, folds=FOLDS).search()
    compared = [replace(account, seconds=0.0) for account in journals(search)]
    assert compared == [replace(account, seconds=0.0) for account in undisturbed]
    assert sorted(set(trained)) == sorted(trained)  # the stub keeps an epoch before it tells of it: none twice


def test_a_fold_is_resumed_from_its_own_checkpoint(tmp_path):
    told = []
    folds = [(stub.training(), stub.score)] * 2
    for until, expected in ((1, [(1, 1), (2, 2)]), (2, [(2, 1), (4, 2)])):
        told.clear()
        note = lambda epoch, fold: told.append((epoch.epoch, fold))  # noqa: E731
        history, scores = train_in_folds(folds, stub.start(), tmp_path, until, note, "Trial 1/1")
        assert told == expected
        assert (len(history), len(scores)) == (2 * until, 2)
    assert [path.name for path in sorted(tmp_path.glob("fold-*"))] == ["fold-1", "fold-2"]


@pytest.mark.parametrize(
    "settings",
    [
        {"search": SearchConfig(trial_folds=5, tuner="hyperband")},
        {"search": SearchConfig(trial_folds=5), "data": DataConfig(data_service="localhost:5000")},
    ],
)
def test_what_cannot_be_had_with_folds_is_refused(settings):
    with pytest.raises(InputError, match="--trial-folds is 5; it must be 1 with --tuner hyperband"):
        RunConfig(**settings)
