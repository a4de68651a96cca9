"""A search on a disk that is full goes on where it was when there is room, and ends as one that never met it."""

import json
import shutil

import pytest

from pneumo_tfds.program.errors import InputError

TRIALS, ROOM = 3, "No space left on device; make room"


def found(search):
    """What is kept of every trial: its values and its score."""
    journals = sorted(search.trials.glob("trial_*/journal.json"))
    accounts = [json.loads(path.read_text()) for path in journals]
    return [(account["values"], account["score"], account["outcome"]) for account in accounts]


@pytest.fixture
def undisturbed(search, plan, full_disk):
    """What the search finds where there is room, and how many files it keeps."""
    full_disk.at(0)
    search(plan(max_trials=TRIALS, trial_epochs=2)).search()
    expected, files = found(search), full_disk.files
    assert len(expected) == TRIALS
    assert all(outcome == "finished" for _, _, outcome in expected)
    shutil.rmtree(search.trials.parent)
    return expected, files


def attempt(search, plan):
    """Begin or resume the search; give what it was stopped by, empty if it ended well."""
    try:
        search(plan(max_trials=TRIALS, trial_epochs=2)).search()
        return ""
    except InputError as error:
        return str(error)


def test_search_that_meets_a_full_disk_later_and_later_loses_nothing(search, plan, full_disk, undisturbed):
    expected, files = undisturbed
    attempts, number, reason = 0, 0, "not begun"
    while reason:
        attempts += 1
        number += attempts
        full_disk.at(number)
        reason = attempt(search, plan)
        assert not reason or ROOM in reason
    assert attempts > 3
    assert number <= 3 * files
    assert found(search) == expected
    assert not list(search.trials.rglob("*partial*"))


@pytest.mark.long
def test_search_whose_nth_file_meets_a_full_disk_loses_nothing_whatever_n(search, plan, full_disk, undisturbed):
    expected, files = undisturbed
    for number in range(1, files + 1):
        full_disk.at(number)
        assert ROOM in attempt(search, plan), f"file {number}"
        assert not list(search.trials.rglob("*partial*"))
        full_disk.at(0)
        assert attempt(search, plan) == ""
        assert found(search) == expected, f"after a full disk at file {number}"
        shutil.rmtree(search.trials.parent)
