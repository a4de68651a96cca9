"""The one kind of error that is the user's to mend."""

MOST_CHARACTERS = 2000
"""Of a message. A name inside an archive alone may have 65,535."""


class InputError(ValueError):
    """Something the user gave cannot be used: a file, a folder, a flag, a combination of them.

    The message is one line that names the file or flag, says what is wrong, and what to do next. Commands print
    it without a traceback and leave with exit code 2 (see `pneumo_tfds.program.command`). As text it has no line
    breaks and nothing that a terminal would obey: names in a stranger's files may hold anything.
    """

    def __str__(self) -> str:
        return plain(super().__str__())


def require(holds: bool, flag: str, value: object, allowed: str) -> None:
    """Raise InputError about a flag unless its value `holds`; `allowed` says which values do."""
    if not holds:
        raise InputError(f"--{flag} is {value}; it must be {allowed}")


def plain(text: str) -> str:
    r"""Give `text` as one line: white space as spaces, other characters that do not print as `\x1b`, the middle cut."""
    line = "".join(map(_plain, text))
    if len(line) <= MOST_CHARACTERS:
        return line
    half = MOST_CHARACTERS // 2
    return f"{line[:half]} \u2026 {line[-half:]}"


def _plain(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode("ascii")
