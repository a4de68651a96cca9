"""The front of objective against time: which trials are on it, and that a larger network measures as larger."""

from __future__ import annotations

import pytest

import stub_search as stub
from tuning.results import front as front_module
from tuning.results.front import Cost, costs, front
from tuning.results.leaderboard import TrialRow
from tuning.search.objective import parse_objective


def row(trial, score, width=1.0):
    return TrialRow(trial, "finished" if score is not None else "failed", score, 3, 1.0, {"width": width}, (), "")


def test_a_trial_is_on_the_front_if_no_faster_one_is_as_good():
    rows = [row(4, 0.95), row(2, 0.94), row(3, 0.94), row(1, 0.90), row(5, 0.85)]
    times = {4: 3.0, 2: 1.0, 3: 2.0, 1: 0.5, 5: 0.7}
    found = {trial: Cost(time, 1.0) for trial, time in times.items()}
    assert [one.trial for one in front(rows, found, parse_objective("validation_auroc"))] == [1, 2, 4]
    assert [one.trial for one in front(rows[::-1], found, parse_objective("validation_loss"))] == [1, 5]


def test_every_network_is_measured_once_and_none_where_all_are_the_same(plan, monkeypatch):
    measured = []

    def measure(configs):
        measured.extend(config.model.width for config in configs)
        return [Cost(config.model.width, 2.0) for config in configs]

    monkeypatch.setattr(front_module, "_measured", measure)
    fixed = ("learning_rate=2e-4", "dropout=0.1", "l1=0", "l2=0")
    rows = [row(3, 0.9, 2.0), row(1, 0.8), row(2, 0.7, 2.0), row(4, None, 0.5)]
    found = costs(plan(ranges=(*fixed, "width")), rows)
    assert found == {3: Cost(2.0, 2.0), 1: Cost(1.0, 2.0), 2: Cost(2.0, 2.0)}
    assert measured == [2.0, 1.0]
    assert costs(plan(), rows) == {}


@pytest.mark.slow
def test_a_wider_and_a_deeper_network_have_more_weights(plan):
    made = plan(ranges=("width", "depth"))
    values = stub.values(made, made.start)
    sizes = [{"width": 0.5, "depth": 1}, {"width": 1.0, "depth": 1}, {"width": 1.0, "depth": 2}]
    rows = [TrialRow(n, "finished", 0.9, 3, 1.0, values | size, (), "") for n, size in enumerate(sizes, start=1)]
    found = costs(made, rows)
    assert found[1].megabytes < found[2].megabytes / 2 < found[3].megabytes / 2
    assert all(cost.milliseconds > 0 for cost in found.values())
