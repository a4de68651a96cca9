"""What the plots of a search say."""

from __future__ import annotations

from contextlib import contextmanager
from unittest.mock import MagicMock

import pytest

from tuning.results import search_plots
from tuning.results.leaderboard import TrialRow


@pytest.fixture
def axis(monkeypatch):
    """The axis that is drawn on, which notes what it is asked for."""
    drawn = MagicMock()

    @contextmanager
    def canvas(*_):
        yield drawn

    monkeypatch.setattr(search_plots, "canvas", canvas)
    return drawn


def row(trial, status, score):
    return TrialRow(trial, status, score, 1, 1.0, {}, (), "")


def test_the_line_of_the_starting_values_is_that_of_the_first_trial(axis, plan, tmp_path):
    search_plots.best_so_far(tmp_path / "plot.png", plan(), [row(2, "finished", 0.9), row(1, "finished", 0.8)])
    assert axis.axhline.call_args.args == (0.8,)


def test_there_is_no_line_of_starting_values_that_diverged(axis, plan, tmp_path):
    search_plots.best_so_far(tmp_path / "plot.png", plan(), [row(2, "finished", 0.9), row(1, "failed", None)])
    axis.axhline.assert_not_called()


def test_trials_are_labelled_as_they_ended(axis, plan, tmp_path):
    rows = [row(1, "out of time", 0.9), row(2, "finished", 0.8), row(3, "stopped early", 0.7), row(4, "failed", None)]
    search_plots.best_so_far(tmp_path / "plot.png", plan(), rows)
    shown = {call.kwargs["label"]: list(call.args[0]) for call in axis.scatter.call_args_list}
    assert shown == {"trial": [2], "trial, stopped early": [3], "trial, out of time": [1], "failed": [4]}
