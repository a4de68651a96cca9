"""Errors as one line of text."""

import errno

import pytest

from pneumo_tfds.program.errors import MAX_CHARACTERS, InputError, plain, reason_and_remedy, reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a/b"), "No such file or directory"),
        (OSError("only words"), "only words"),
        (ValueError("two\n  lines"), "two lines"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_reason_is_the_systems_words_or_the_message(error, reason):
    assert reason_of(error) == reason


def test_the_remedy_follows_from_the_cause():
    failing = OSError(errno.EIO, "Input/output error")
    assert reason_and_remedy(failing) == "Input/output error; check the disk or the network, and try again"
    full, denied = OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EACCES, "Permission denied")
    assert reason_and_remedy(full) == "No space left on device; make room or choose another folder"
    assert reason_and_remedy(denied, "another --data-dir") == "Permission denied; choose another --data-dir"


def test_message_is_one_line_without_control_characters_and_not_endless():
    assert str(InputError("a\n\x1b[31mb")) == "a \\x1b[31mb"
    assert len(plain("x" * 10 * MAX_CHARACTERS)) <= MAX_CHARACTERS + 3
