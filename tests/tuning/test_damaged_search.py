"""A search whose files were damaged by something else than it is refused with one line that names the file."""

import shutil

import pytest

from pneumo_tfds.program.errors import InputError
from tuning.results import leaderboard
from tuning.search.journal import FILE


@pytest.fixture
def ended(search, plan):
    """A search that has ended."""
    search(plan(max_trials=2, trial_epochs=1)).search()
    return search.trials


def damages(path):
    """Ways in which a file may be damaged."""
    whole = path.read_bytes()
    return [whole[: len(whole) // 2], b"", b"[]", b"\xff\xfe\x00"]


@pytest.mark.parametrize("name", ["oracle.json", "tuner.json", "trial_0/trial.json", "trial_1/trial.json"])
def test_state_that_cannot_be_read_is_one_line(ended, search, plan, name):
    shutil.copytree(ended, ended.with_name("kept"))
    for damage in damages(ended / name)[: 2 if name == "tuner.json" else 4]:
        (ended / name).write_bytes(damage)
        with pytest.raises(
            InputError, match=r"holds no state that can be read .*; take it from a copy, or begin"
        ) as said:
            search(plan(max_trials=2, trial_epochs=1))
        assert "\n" not in str(said.value)
        shutil.copy(ended.with_name("kept") / name, ended / name)
    search(plan(max_trials=2, trial_epochs=1))


def test_journal_that_cannot_be_read_is_one_line(ended, plan):
    path = ended / "trial_0" / FILE
    for damage in [*damages(path), b'{"values": 7}', b"{}"]:
        path.write_bytes(damage)
        with pytest.raises(InputError, match=rf"{path}.*; take it from a copy, or begin a new search"):
            leaderboard.rows(ended, plan().objective)
