"""What the machine refuses, be it room, rights or memory, is one line with a way out, and exit code 2."""

import errno
import os
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from pneumo_tfds.program.command import Command
from pneumo_tfds.program.machine_errors import explain_machine_error, machine_error_types

ROOT = Path(__file__).parents[2]
GIGABYTE = 2**30
PROGRAM = """
import sys
from dataclasses import dataclass
from pneumo_tfds.program.command import Command, run

@dataclass(frozen=True, kw_only=True)
class Work(Command):
    '''Work.'''
    what: str = "print"
    '''At what.'''
    batch_size: int = 8
    '''Images at once.'''

def work(command):
    if command.what == "numpy":
        import numpy
        numpy.ones(2**36)
    if command.what == "python":
        bytearray(2**40)
    if command.what == "missing":
        open("not here")
    print("a line\\n" * (100_000 if command.what == "much" else 1))
    if command.what == "bad":
        from pneumo_tfds.program.errors import InputError
        raise InputError("bad input")

run(Work, work, prog="work")
"""


@dataclass(frozen=True, kw_only=True)
class Inner:
    batch_size: int = 32
    cache: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Outer(Command):
    fit: Inner = field(default_factory=Inner)
    workers: int = 2


def start(*arguments, **keywords):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment, **keywords}
    return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, text=True, check=False, **given)


def limited_to_a_gigabyte():
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTE, GIGABYTE))


@pytest.mark.parametrize("what", ["numpy", "python"])
def test_memory_that_is_not_there_is_one_line_that_says_what_to_lower(what):
    ended = start("--what", what, preexec_fn=limited_to_a_gigabyte)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("work: not enough memory (")
    assert ended.stderr.endswith("; lower --batch-size\n")


def test_flags_that_help_are_named_wherever_they_are():
    line = explain_machine_error(MemoryError("Unable to allocate 8 PiB"), Outer())
    assert line == "not enough memory (Unable to allocate 8 PiB); lower --batch-size, --workers, --cache off"
    assert explain_machine_error(MemoryError(), None).startswith("not enough memory (none left); end other programs")


def test_libraries_say_it_in_their_own_ways():
    with pytest.raises(machine_error_types()) as caught:
        cv2.resize(np.zeros((2, 2), np.uint8), (2**30, 2**30))
    assert explain_machine_error(caught.value, Outer()).startswith("not enough memory (")
    with pytest.raises(machine_error_types()) as caught:
        cv2.cvtColor(np.zeros((0, 0), np.uint8), cv2.COLOR_BGR2GRAY)
    assert explain_machine_error(caught.value, Outer()) is None, "another error of theirs is ours to mend"


@pytest.mark.slow
def test_tensorflow_says_it_in_its_own_way():
    import tensorflow as tf

    with pytest.raises(machine_error_types()) as caught:
        tf.zeros([2**46])
    assert "OOM when allocating" in explain_machine_error(caught.value, Outer())
    assert not isinstance(tf.errors.InvalidArgumentError(None, None, "x"), machine_error_types())


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b"),
            "write a/b: No space left on device; make room there",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: Permission denied; check that it is there"),
        (OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"), "a to b: Invalid cross-device link"),
        (OSError("only words"), "cannot read or write: only words"),
    ],
)
def test_what_the_system_refuses_names_the_file(error, says):
    assert says in explain_machine_error(error, None)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("what", ["print", "much"])
def test_standard_output_on_a_full_disk_is_one_line(what):
    with open("/dev/full", "w") as full:
        ended = start("--what", what, stdout=full)
    assert (ended.returncode, ended.stderr) == (
        2,
        "work: cannot read or write: No space left on device; make room there\n",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_bad_input_stays_one_line_when_standard_output_is_full_too():
    with open("/dev/full", "w") as full:
        ended = start("--what", "bad", stdout=full)
    assert (ended.returncode, ended.stderr) == (2, "work: bad input\n")


def test_reader_that_leaves_ends_it_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        ended = start("--what", "much", stdout=pipe)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_debug_shows_where_it_was():
    ended = start("--what", "missing", "--debug")
    assert ended.returncode == 1
    assert "FileNotFoundError" in ended.stderr
    assert start("--what", "missing").stderr.startswith("work: cannot read or write not here: No such file")
