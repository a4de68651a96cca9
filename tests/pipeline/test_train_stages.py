"""The stages that `pipeline.train` starts as commands: how each of them ends is how the job ends."""

import signal
import subprocess
from types import SimpleNamespace

import pytest

from pipeline import train
from pneumo_tfds.program.errors import InputError


@pytest.fixture
def ending(monkeypatch):
    """Let the next stage end with this return code."""
    started = []

    def end(code):
        def run(words, **keywords):
            started.append(words)
            return SimpleNamespace(returncode=code)

        monkeypatch.setattr(subprocess, "run", run)
        return started

    return end


def test_stage_is_started_with_its_arguments(ending):
    started = ending(0)
    train._stage("export", "runs/first")
    assert [words[1:] for words in started] == [["-m", "export", "runs/first"]]


@pytest.mark.parametrize("code", [1, 2, 130])
def test_exit_code_of_a_stage_is_the_jobs(ending, code):
    ending(code)
    with pytest.raises(SystemExit) as left:
        train._stage("tuning")
    assert left.value.code == code


def test_stage_that_the_system_ends_is_named_with_what_to_lower(ending):
    ending(-signal.SIGKILL)
    with pytest.raises(InputError, match=r"python -m tuning was ended by signal 9 .*lower --batch-size.*--resume"):
        train._stage("tuning")
