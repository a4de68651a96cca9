"""What every command shares: exit codes, one line for an error, and a quiet TensorFlow."""

import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pytest

from pneumo_tfds.program.command import Command, own_flags_first
from pneumo_tfds.program.installed import how_to_install

ROOT = Path(__file__).parents[2]
PROGRAM = """
from dataclasses import dataclass
from pneumo_tfds.program.command import Command, run, run_one_of
from pneumo_tfds.program.errors import InputError

@dataclass(frozen=True, kw_only=True)
class Greet(Command):
    '''Greet somebody.'''
    name: str = "you"
    '''Whom.'''
    times: int = 1
    '''How often; 1 or more.'''
    def __post_init__(self):
        if self.times < 1:
            raise InputError(f"--times is {self.times}; it must be 1 or more")

def greet(command):
    if command.name == "nobody":
        raise InputError("there is\\n nobody to greet; name somebody")
    if command.name == "stop":
        raise KeyboardInterrupt
    if command.name == "stop and go on":
        raise KeyboardInterrupt("go on with: greet")
    if command.name in ("tensorflow", "nobody_knows"):
        raise ModuleNotFoundError(f"No module named {command.name!r}", name=command.name)
    if command.name == "bug":
        raise RuntimeError("ours")
    print("hello " * command.times + command.name)
    return 3 if command.name == "three" else None

"""
ONE = 'run(Greet, greet, prog="greet")'
MANY = """
@dataclass(frozen=True, kw_only=True)
class Leave(Command):
    '''Go.'''

run_one_of({"greet": (Greet, greet), "leave": (Leave, lambda command: print("bye"))}, prog="many")
"""
NEEDED = """
from pathlib import Path

@dataclass(frozen=True, kw_only=True)
class Need(Command):
    '''Need a source.'''
    source: Path
    '''The source.'''
    out: str = ""
    '''Something else.'''

run(Need, lambda command: None, prog="need")
"""


@pytest.fixture
def call(tmp_path):
    def run(*arguments, end=ONE):
        script = tmp_path / "command.py"
        script.write_text(PROGRAM + end)
        line = [sys.executable, str(script), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)

    return run


def test_flags_come_from_the_fields(call):
    ended = call("--name", "Ann", "--times", "2")
    assert (ended.returncode, ended.stdout) == (0, "hello hello Ann\n")


def test_own_flags_stand_before_those_of_options_and_behind_those_of_every_command():
    @dataclass(frozen=True, kw_only=True)
    class Options:
        strict: bool = False
        workers: int = 1

    @own_flags_first
    @dataclass(frozen=True, kw_only=True)
    class Greet(Options, Command):
        name: str
        workers: int = 2
        times: int = 1

    order = ["debug", "name", "times", "strict", "workers"]
    assert [field.name for field in fields(Greet)] == order
    assert list(asdict(Greet(name="Ann")).items()) == list(zip(order, (False, "Ann", 1, False, 2), strict=True))
    assert [field.name for field in fields(Options)] == ["strict", "workers"]


def test_action_may_choose_the_exit_code(call):
    assert call("--name", "three").returncode == 3


def test_help_teaches_what_the_docs_of_the_fields_say(call):
    ended = call("--help")
    assert ended.returncode == 0
    for words in ("Greet somebody.", "--name", "Whom.", "How often; 1 or more."):
        assert words in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--name", "nobody"), "greet: there is nobody to greet; name somebody\n"),
        (("--times", "0"), "greet: --times is 0; it must be 1 or more\n"),
    ],
)
def test_bad_input_is_exactly_one_line_and_exit_code_2(call, arguments, line):
    ended = call(*arguments)
    assert (ended.returncode, ended.stderr, ended.stdout) == (2, line, "")


@pytest.mark.parametrize("arguments", [("--times", "many"), ("--nmae", "Ann"), ("extra",), ("--name",)], ids=" ".join)
def test_what_cannot_be_parsed_is_one_line_that_names_it(call, arguments):
    ended = call(*arguments)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert arguments[-1] in ended.stderr or arguments[0] in ended.stderr
    assert not set("│╭╰─") & set(ended.stderr)


def test_debug_shows_the_traceback(call):
    ended = call("--name", "nobody", "--debug")
    assert "Traceback" in ended.stderr
    assert ended.returncode == 1


def test_interruption_has_its_own_exit_code(call):
    ended = call("--name", "stop")
    assert (ended.returncode, ended.stderr) == (130, "greet: interrupted\n")


def test_interruption_says_how_to_go_on_where_that_is_known(call):
    ended = call("--name", "stop and go on")
    assert (ended.returncode, ended.stderr) == (130, "greet: interrupted; go on with: greet\n")


def test_a_value_without_its_flag_is_one_mistake(call):
    ended = call("my folder", end=NEEDED)
    assert (ended.returncode, ended.stderr) == (2, "need: put --source before my folder\n")
    ended = call("my folder", "--nmae", "Ann", end=NEEDED)
    assert "--nmae" in ended.stderr


def test_paths_in_printed_commands_are_quoted():
    """They are copied into a shell, and folders have spaces."""
    bare = re.compile(r"python -m [\w.]+ \{(?!quoted)|--(source|run-dir|config|prefix|corrections) \{(?!quoted)")
    lines = [
        f"{path.name}: {line.strip()}"
        for package in ("pneumo_tfds", "pipeline", "tuning", "export", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if bare.search(line) and not re.search(r"--corrections \{path\}: ", line)
    ]
    assert lines == []


def test_error_of_ours_is_not_hidden(call):
    ended = call("--name", "bug")
    assert ended.returncode == 1
    assert "RuntimeError: ours" in ended.stderr


def test_subcommands_are_found_by_name_and_unknown_ones_refused(call):
    assert call("greet", "--name", "Ann", end=MANY).stdout == "hello Ann\n"
    assert call("leave", end=MANY).stdout == "bye\n"
    ended = call("wave", end=MANY)
    assert ended.returncode == 2
    assert "wave" in ended.stderr


@pytest.mark.slow
def test_tensorflow_is_imported_without_its_notes():
    program = (
        "from pneumo_tfds.program.quiet import quiet_tensorflow as q; q(); import tensorflow as tf; tf.constant(1)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_missing_extra_is_one_line_with_the_command_that_brings_it(call):
    ended = call("--name", "tensorflow")
    assert ended.returncode == 2
    assert ended.stderr == f"greet: this needs tensorflow; {how_to_install('train')}\n"
    assert "Traceback" in call("--name", "nobody_knows").stderr, "a module that no extra brings is a mistake of ours"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--name", "Ann", "--times", "2", "--name", "Bea"), "--name is given twice; give it once"),
        (("--name=Ann", "--name", "Bea"), "--name is given twice; give it once"),
        (("--name", ""), "an argument behind --name is empty; give a value"),
        (("--name=",), "an argument behind --name is empty; give a value"),
        (("--times", "2", " "), "an argument behind --times is empty; give a value"),
        (("",), "an argument is empty; give a value"),
    ],
)
def test_a_flag_given_twice_or_without_a_value_is_refused_and_not_passed_over(call, arguments, line):
    ended = call(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"greet: {line}")
    assert ended.stderr.count("\n") == 1
