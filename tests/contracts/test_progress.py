"""Progress passes items on unchanged, is drawn on a terminal, and is a line of a log for long work only."""

import io
import re
import sys
import threading
from unittest.mock import Mock

import pytest

from pneumo_tfds.program.progress import stage, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_items_come_through_in_order_and_lazily():
    taken = []
    source = (taken.append(i) or i for i in range(5))
    tracked = track(source, "Work", total=5)
    assert next(tracked) == 0
    assert taken == [0]
    assert list(tracked) == [1, 2, 3, 4]


def test_short_work_writes_nothing_into_a_pipe(capsys):
    assert list(track([1, 2], "Work")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_short_work_on_a_terminal_shows_no_bar(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert list(track([1, 2], "Work")) == [1, 2]
    assert "Work" not in screen.getvalue()


def test_long_work_on_a_terminal_shows_what_is_done(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr("pneumo_tfds.program.progress.DELAY_SECONDS", -1.0)
    tracked = track(range(3), "Decoding")
    next(tracked)
    next(tracked)
    list(tracked)
    assert "Decoding" in screen.getvalue()
    assert "3/3" in screen.getvalue()


@pytest.fixture
def at_once(monkeypatch, fast_enough):
    """Show work of any length."""
    monkeypatch.setattr("pneumo_tfds.program.progress.DELAY_SECONDS", -1.0)


def test_long_work_in_a_pipe_is_one_line_with_its_seconds(at_once, capsys):
    assert list(track([1, 2, 3], "Scoring test")) == [1, 2, 3]
    with stage("Drawing plots"):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"Scoring test: 3 done, \d+\.\d s\nDrawing plots, \d+\.\d s\n", err)


def test_very_long_work_in_a_pipe_says_how_far_it_is(at_once, monkeypatch, capsys):
    monkeypatch.setattr("pneumo_tfds.program.progress.LOG_SECONDS", -1.0)
    list(track(iter("abc"), "Training 1/2", total=3))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" after")[0] for line in lines[:2]] == ["Training 1/2: 1 of 3", "Training 1/2: 2 of 3"]
    assert len(lines) == 3


def test_work_that_fails_adds_no_line_to_its_error(at_once, capsys):
    with pytest.raises(ValueError, match="broken"), stage("Converting"):
        raise ValueError("broken")
    with pytest.raises(ZeroDivisionError):
        list(track((1 // n for n in (1, 0)), "Reading"))
    assert capsys.readouterr().err == ""


def test_a_stage_without_parts_is_shown_on_a_terminal_while_it_lasts(at_once, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with stage("Converting"):
        assert "Converting" in screen.getvalue()


def test_long_work_without_parts_says_in_a_log_that_it_goes_on(monkeypatch):
    said, lines = threading.Event(), []
    monkeypatch.setattr("pneumo_tfds.program.progress.LOG_SECONDS", 0.0)
    monkeypatch.setattr("pneumo_tfds.program.progress._say", lambda line: (lines.append(line), said.set()))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with stage("Waiting for the export"):
        assert said.wait(60)
    assert lines[0] == "Waiting for the export: not done after 0 s"


def test_short_work_without_parts_leaves_no_line_behind(monkeypatch):
    timers = []
    monkeypatch.setattr("threading.Timer", lambda *arguments: timers.append(Mock()) or timers[-1])
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with stage("Work"):
        pass
    timers[0].cancel.assert_called_once_with()
