"""Candidates over seeds: runs that diverge, runs that are not repeated, and what the conclusion compares."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import stub_search as stub
from pipeline.run_folder.history import Epoch
from pipeline.training.fit import DivergedError
from tuning.results.confirm import Candidate, as_json, conclusion, confirm, interval, seconds_to_confirm
from tuning.results.leaderboard import TrialRow
from tuning.search.journal import Journal
from tuning.search.objective import parse_objective

AUROC, LOSS = parse_objective("validation_auroc"), parse_objective("validation_loss")


@pytest.fixture(autouse=True)
def no_memory_to_release(monkeypatch):
    from contextlib import nullcontext

    for user in ("tuning.results.confirm", "tuning.search.trial_folds"):
        monkeypatch.setattr(f"{user}.releasing_memory", nullcontext)


def candidate(trial, scores):
    """Of a trial's score by seed."""
    return Candidate(trial, {}, 0.9, tuple(scores), tuple(scores.values()), *interval(tuple(scores.values())))


def rows(plan, count):
    """A leaderboard of so many trials, the last begun on top; the first has the starting values."""
    return [
        TrialRow(n, "finished", 0.5 + n / 100, 3, 1.0, stub.values(plan, plan.start), (), "")
        for n in range(count, 0, -1)
    ]


def test_an_interval_is_students_and_of_one_score_endless():
    assert interval([0.9]) == (0.9, -np.inf, np.inf)
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)
    mean, low, high = interval([0.90, 0.92, 0.94])
    assert (mean, high - mean, mean - low) == pytest.approx((0.92, 4.30265 * 0.02 / 3**0.5, 4.30265 * 0.02 / 3**0.5))


def test_differences_are_of_the_same_seed_even_if_a_run_diverged():
    """Seed 1 was bad for both; the winner diverged on it, which must not set its seed 2 against their seed 1."""
    start = candidate(1, {1: 0.70, 2: 0.90, 3: 0.91})
    best = candidate(4, {2: 0.93, 3: 0.94})
    assert "trial 4 has +0.0300 (95 % interval +0.0300 to +0.0300 over 2 seeds)" in conclusion([best, start], AUROC)


def test_without_a_seed_in_common_nothing_is_claimed():
    said = conclusion([candidate(4, {2: 0.99}), candidate(1, {1: 0.70})], AUROC)
    assert "seeds alone could explain it: trial 4 and they have no seed in common that trained." in said
    assert "One seed each is not enough to decide." in said


def test_starting_values_that_did_not_train_or_stand_alone_are_told():
    assert conclusion([candidate(4, {1: 0.9})], AUROC).startswith("The starting values did not train")
    alone = conclusion([candidate(1, {1: 0.9, 2: 0.91})], AUROC)
    assert alone == "None of the candidates beats the starting values over 2 seeds; they are kept."


def test_every_candidate_is_trained_from_every_new_seed_once(plan, tmp_path):
    """Trial 3 diverges on one seed; called again, nothing is trained and the answer is the same."""
    made = plan(confirm_top=1, confirm_seeds=3)
    trained, said = [], []

    def train(config, *, folder, until, on_epoch, description):
        trained.append((folder.parent.name, config.fit.seed, until, on_epoch(Epoch(1, *[0.5] * 8))))
        if len(trained) == 3:
            raise DivergedError("no longer finite")
        return SimpleNamespace(history=(), seed=config.fit.seed)

    def score(config, fitted):
        assert fitted.seed == config.fit.seed
        return 0.5 + config.fit.seed / 4

    found = confirm(made, rows(made, 3), tmp_path, [(train, score)], said.append)
    epochs = made.start.search.trial_epochs
    assert trained == [(f"trial_{t}_seed_{s}", s, epochs, False) for s in (1, 2, 3) for t in (2, 0)]
    assert said[:3:2] == [
        "confirming trial 3, seed 1 of 3: validation_auroc 0.7500",
        "confirming trial 3, seed 2 of 3: diverged",
    ]
    by_trial = {one.trial: one for one in found}
    assert (by_trial[3].seeds, by_trial[3].scores) == ((1, 3), (0.75, 1.25))
    assert (by_trial[1].seeds, by_trial[1].scores) == ((1, 2, 3), (0.75, 1.0, 1.25))
    assert [one.start for one in found] == [True, False]
    assert confirm(made, rows(made, 3), tmp_path, [(train, score)]) == found
    assert len(trained) == 6


@pytest.mark.parametrize(("diverges", "order"), [("trial_2_", [1, 3]), ("none", [3, 1])])
def test_what_diverged_on_a_seed_comes_behind_what_trained_on_all(plan, tmp_path, diverges, order):
    """On the one seed that it trained on, trial 3 is better than the mean of the starting values over all seeds."""
    made = plan(confirm_top=1, confirm_seeds=2)

    def train(config, *, folder, **_):
        if folder.parent.name.startswith(diverges) and config.fit.seed == 1:
            raise DivergedError("no longer finite")
        return SimpleNamespace(history=(), trial=folder.parent.name)

    def score(config, fitted):
        return 0.99 if fitted.trial.startswith("trial_2_") else 0.95

    assert [one.trial for one in confirm(made, rows(made, 3), tmp_path, [(train, score)])] == order


def test_a_seed_for_which_the_minutes_do_not_suffice_counts_for_none_and_is_trained_on_resume(plan, tmp_path):
    made = plan(confirm_top=1, confirm_seeds=2, minutes=1.0)
    clock, trained, said = [0], [], []

    def train(config, *, folder, until, on_epoch, description):
        for epoch in range(1, until + 1):
            clock[0] += 1
            on_epoch(Epoch(epoch, *[0.5] * 8))
        trained.append((folder.parent.name, config.fit.seed))
        return SimpleNamespace(history=())

    def score(config, fitted):
        return 0.5 + config.fit.seed / 4

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuning.results.confirm.time.time", lambda: clock[0])
        found = confirm(made, rows(made, 2), tmp_path, [(train, score)], said.append, end=9.5)
    assert trained == [("trial_1_seed_1", 1), ("trial_0_seed_1", 1), ("trial_1_seed_2", 2)]
    assert {one.seeds for one in found} == {(1,)}
    assert said[-1] == "--minutes 1 ended after 1 of 2 seeds; --resume with more minutes trains the others"
    found = confirm(made, rows(made, 2), tmp_path, [(train, score)], said.append)
    assert {one.seeds for one in found} == {(1, 2)}
    assert len(trained) == 4


def test_time_is_kept_to_train_the_best_again_but_at_most_half(plan, tmp_path):
    made = plan(confirm_top=1, confirm_seeds=2, minutes=10.0)
    assert seconds_to_confirm(made, tmp_path) == 0
    for number, seconds in enumerate((20.0, 40.0, 500.0)):
        Journal({}, seconds=seconds, outcome="finished" if number < 2 else "running").write(
            tmp_path / f"trial_{number}"
        )
    assert seconds_to_confirm(made, tmp_path) == 4 * 40
    assert seconds_to_confirm(plan(confirm_top=9, confirm_seeds=2, minutes=10.0), tmp_path) == 300
    assert seconds_to_confirm(plan(confirm_top=0, confirm_seeds=2, minutes=10.0), tmp_path) == 0


def test_a_candidate_that_never_trains_is_none(plan, tmp_path):
    made = plan(confirm_top=1, confirm_seeds=2)

    def train(config, **_):
        raise DivergedError("no longer finite")

    assert confirm(made, rows(made, 2), tmp_path, [(train, lambda config, fitted: 0.9)]) == []


def test_what_is_written_is_json_even_of_a_single_seed():
    written = as_json([candidate(1, {1: 0.9})], AUROC)
    (one,) = written["candidates"]
    assert (one["seeds"], one["scores"], one["low"], one["high"]) == ((1,), (0.9,), None, None)
    assert written["objective"] == "validation_auroc"


def test_with_folds_a_seed_has_the_mean_over_them_and_counts_if_the_minutes_suffice_for_all(plan, tmp_path):
    made = plan(confirm_top=1, confirm_seeds=2, trial_folds=2)
    trained, clock = [], [0]

    def fold(number):
        def train(config, *, folder, until, on_epoch, description):
            clock[0] += 1
            for epoch in range(1, until + 1):
                on_epoch(Epoch(epoch, *[0.5] * 8))
            trained.append((config.fit.seed, number, folder.name, "fold " in description))
            return SimpleNamespace(history=())

        return train, lambda config, fitted: number / 2 + config.fit.seed / 10

    folds = [fold(1), fold(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuning.results.confirm.time.time", lambda: clock[0])
        # Four networks make a seed of both candidates; the fifth is the first of the next seed.
        (best, start) = confirm(made, rows(made, 2), tmp_path, folds, end=5.5)
    assert best.scores == start.scores == pytest.approx((0.85,))
    assert trained[:2] == [(1, 1, "fold-1", True), (1, 2, "fold-2", True)]
    (best, start) = confirm(made, rows(made, 2), tmp_path, folds)
    assert best.scores == start.scores == pytest.approx((0.85, 0.95))


def test_of_losses_the_smallest_mean_comes_first(plan, tmp_path):
    made = plan(objective="validation_loss", confirm_top=1, confirm_seeds=2)

    def train(config, *, folder, **_):
        return SimpleNamespace(history=(), trial=folder.parent.name)

    def score(config, fitted):
        return (0.2 if fitted.trial.startswith("trial_2_") else 0.4) + config.fit.seed / 100

    found = confirm(made, rows(made, 3), tmp_path, [(train, score)])
    assert [one.trial for one in found] == [3, 1]
    assert [one.mean for one in found] == pytest.approx([0.215, 0.415])


SURE, UNSURE = (0.10, 0.11, 0.12), (0.10, -0.05, 0.01)
"""By how much a trial is better than the starting values, by seed."""


@pytest.mark.parametrize("objective", [AUROC, LOSS], ids=lambda objective: objective.name)
@pytest.mark.parametrize(
    ("ahead", "said"), [(SURE, "beats the starting values"), (UNSURE, "seeds alone could explain")]
)
def test_a_trial_beats_the_starting_values_if_all_of_the_interval_is_on_the_better_side(objective, ahead, said):
    better = 1 if objective.direction == "max" else -1
    start = candidate(1, dict.fromkeys((1, 2, 3), 0.5))
    best = candidate(4, {seed: 0.5 + better * by for seed, by in enumerate(ahead, start=1)})
    assert said in conclusion([best, start], objective)


def test_the_best_of_many_candidates_is_not_said_to_beat_the_start_by_luck():
    """Thirty candidates as good as the starting values; the seeds that rank them also compare them."""
    generator = np.random.default_rng(0)
    named = 0
    for _ in range(200):
        start, *tried = (candidate(n, dict(enumerate(row))) for n, row in enumerate(generator.normal(size=(31, 3)), 1))
        best = max(tried, key=lambda one: one.mean)
        named += "beats" in conclusion([best, *(one for one in [start, *tried] if one is not best)], AUROC)
    assert named <= 10  # of 200; without the correction 13 % or so
    assert "over 3 seeds, corrected for 30 candidates)" in conclusion([best, start, *tried[1:]], AUROC)
