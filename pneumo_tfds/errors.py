"""The one kind of error that is the user's to mend."""


class InputError(ValueError):
    """Something the user gave cannot be used: a file, a folder, a flag, a combination of them.

    The message is one line that names the file or flag, says what is wrong, and what to do next. Commands print
    it without a traceback and leave with exit code 2 (see `pneumo_tfds.command`).
    """
