"""Lines that a native library prints are caught, and those of others are not lost."""

from __future__ import annotations

import os

from pneumo_tfds.decode.native_messages import caught_lines


def test_lines_of_others_are_written_after_the_block(capfd):
    with caught_lines(("Corrupt",)) as lines:
        os.write(2, b"Corrupt data\nsomething else\n")
        assert capfd.readouterr().err == ""
    assert lines == ["Corrupt data"]
    assert capfd.readouterr().err == "something else\n"
