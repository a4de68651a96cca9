"""InputError, the error for everything that the user can fix, and how errors become one line of text."""

from __future__ import annotations

import errno

MAX_CHARACTERS = 2000
"""Longest message. A name inside an archive alone can have 65,535 characters."""

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

FAILING = frozenset(
    getattr(errno, name)
    for name in ("EIO", "EREMOTEIO", "ESTALE", "ETIMEDOUT", "ENETDOWN", "ENETUNREACH", "ECONNRESET", "EHOSTDOWN")
    if hasattr(errno, name)
)
"""Errors of a disk or a network that fails; another folder there would be no better."""


class InputError(ValueError):
    """Something the user gave cannot be used: a file, a folder, a flag, or a combination of them.

    The message is one line that names the file or flag, says what is wrong, and what to do next. Commands print
    it without a traceback and exit with code 2 (see `pneumo_tfds.program.command`). As text it has no line breaks and
    no control characters, because the names in foreign files may hold anything.
    """

    def __str__(self) -> str:
        return plain(super().__str__())


def require(holds: bool, flag: str, value: object, allowed: str) -> None:
    """Raise InputError about a flag unless its value `holds`; `allowed` says which values do."""
    if not holds:
        raise InputError(f"--{flag} is {value}; it must be {allowed}")


def reason_of(error: BaseException) -> str:
    """Return why something failed, on one line: the system's words (`No such file or directory`) or the message."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def reason_and_remedy(error: OSError, elsewhere: str = "another folder") -> str:
    """Return why the system refused to write, and what to do: `Permission denied; choose another folder`."""
    if error.errno in DISK_FULL:
        remedy = f"make room or choose {elsewhere}"
    elif error.errno in FAILING:
        remedy = "check the disk or the network, and try again"
    else:
        remedy = f"choose {elsewhere}"
    return f"{reason_of(error)}; {remedy}"


def plain(text: str) -> str:
    r"""Return `text` on one line, with unprintable characters as `\x1b` and the middle of a long text cut out."""
    spaced = "".join(" " if character.isspace() else character for character in text)
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in spaced)
    if len(line) <= MAX_CHARACTERS:
        return line
    half = MAX_CHARACTERS // 2
    return f"{line[:half]} \u2026 {line[-half:]}"
