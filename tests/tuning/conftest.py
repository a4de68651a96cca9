"""Searches without training."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

import stub_search as stub


@pytest.fixture(autouse=True)
def nothing_to_give_back(monkeypatch):
    """Stubbed trials leave nothing behind, and collecting garbage takes half a second each."""
    monkeypatch.setattr("tuning.search.tuner.given_back", nullcontext)


@pytest.fixture
def plan():
    """Make a plan: what the search may spend, by keyword."""
    from tuning.search.search_plan import Plan

    return lambda **search: Plan(stub.start(**search), stub.DATA)


@pytest.fixture
def search(tmp_path):
    """Make a search that trains nothing, in one folder: made again, it resumes."""
    from tuning.search.search_folder import SearchFolder
    from tuning.trials import make_search

    def make(plan, train=None, **options):
        folder = SearchFolder(tmp_path / "run" / "tuner")
        judge = lambda config, fitted: fitted.best.validation_auroc  # noqa: E731
        return make_search(plan, None, folder, train=train or stub.training(), score=judge, **options)

    make.trials = tmp_path / "run" / "tuner" / "trials"
    return make
