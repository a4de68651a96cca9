"""Searches without training."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

import stub_search as stub


@pytest.fixture(autouse=True)
def no_memory_to_release(monkeypatch):
    """Stubbed trials leave nothing behind, and collecting garbage takes half a second each."""
    for user in ("tuner", "trial_folds"):
        monkeypatch.setattr(f"tuning.search.{user}.releasing_memory", nullcontext)


@pytest.fixture
def plan():
    """Return a function that makes a plan; what the search may spend is given by keyword."""
    return stub.plan


@pytest.fixture
def search(tmp_path):
    """Return a function that makes a search without training, in one folder: called again, it resumes."""

    def make(plan, train=None, **options):
        return stub.tuner(tmp_path / "run", plan, train, **options)

    make.trials = tmp_path / "run" / "tuner" / "trials"
    return make
