"""Progress bars pass items on unchanged, and are silent where nobody watches."""

import io
import sys

from pneumo_tfds.program.progress import track


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


def test_nothing_is_written_into_a_pipe(capsys):
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
