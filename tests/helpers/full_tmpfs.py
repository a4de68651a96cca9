"""Run a command on file systems of a few kilobytes, in a mount namespace of its own; `test_tmpfs.py` starts it.

`unshare --mount python full_tmpfs.py FOLDER LINE AGAIN SIZE...`: FOLDER becomes a tmpfs of SIZE kilobytes, for each
size anew. LINE (what is typed after `python -m`) runs there, and AGAIN when there is room. Prints a line of JSON for
each size.
"""

import contextlib
import io
import json
import os
import runpy
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

ROOM = "64m"


def mount(folder, options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)


def run(line):
    """Give exit code and standard error."""
    sys.argv = shlex.split(line)
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        except SystemExit as left:
            return left.code or 0, said.getvalue()
    return 0, said.getvalue()


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def main(folder, line, again, *sizes):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for size in sizes:
        mount(folder, f"size={size}k")
        code, said = run(line)
        left = names(folder)
        mount(folder, f"remount,size={ROOM}")
        ended, _ = run(again)
        report = {"size": int(size), "code": code, "said": said, "left": left, "again": ended, "whole": names(folder)}
        print(json.dumps(report), flush=True)
        subprocess.run(["umount", folder], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
