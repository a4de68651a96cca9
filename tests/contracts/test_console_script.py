"""The command `pneumo`: the commands of the project under one name."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pneumo_tfds.console_script import COMMANDS, GROUPS, first_sentence
from pneumo_tfds.program.command import call_of
from test_architecture import COMMANDS as MODULES

ROOT = Path(__file__).parents[2]
PNEUMO = "from pneumo_tfds.console_script import main; main()"
STAGES = """
import subprocess, sys
from pneumo_tfds.program.child_process import run_in_child_process
from pneumo_tfds.program.command import Command, run

def double(number):
    return 2 * number

def work(command):
    print(run_in_child_process("doubling", double, 21), flush=True)
    return subprocess.run([sys.executable, "-c", "import pipeline.config"]).returncode

if __name__ == "__main__":
    run(Command, work, prog="python -m staged")
"""


@pytest.fixture
def pneumo(tmp_path):
    def call(*arguments, path=(), program=PNEUMO):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, path), str(ROOT)]), "COLUMNS": "160"}
        line = [sys.executable, "-c", program, *arguments]
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return call


def test_every_command_of_the_project_is_there():
    known = {target.partition(":")[0].removesuffix(".__main__") for target in COMMANDS.values()}
    assert known - {"pneumo_tfds.completion"} == set(MODULES)
    subcommands = ast.parse((ROOT / "pneumo_tfds" / "__main__.py").read_text(encoding="utf-8")).body[-1]
    named = {key.value for node in ast.walk(subcommands) if isinstance(node, ast.Dict) for key in node.keys}
    assert named == {name for name, target in COMMANDS.items() if target.startswith("pneumo_tfds.__main__")}


def test_help_lists_all_by_group_with_their_own_first_sentence_and_imports_none_of_them(pneumo):
    at_end = "import atexit, sys; atexit.register(lambda: print(sorted(sys.modules)))"
    ended = pneumo("--help", program=f"{at_end}; {PNEUMO}")
    assert ended.returncode == 0
    for group, commands in GROUPS.items():
        assert f"\n{group}\n" in ended.stdout
        for name, target in commands.items():
            assert f"\n  {name:<15} {first_sentence(target)}\n" in ended.stdout
    for module in ("pipeline", "tuning", "export", "benchmarks", "numpy", "tensorflow"):
        assert f"'{module}'" not in ended.stdout


def test_version_is_that_of_the_package(pneumo):
    from pneumo_tfds import __version__

    assert pneumo("--version").stdout == f"pneumo {__version__}\n"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("trian", "pneumo: 'trian' is no command; did you mean train? pneumo --help lists all\n"),
        ("tunin", "pneumo: 'tunin' is no command; did you mean tuning? pneumo --help lists all\n"),
        ("--xyz", "pneumo: '--xyz' is no command; pneumo --help lists all\n"),
    ],
)
def test_what_is_no_command_is_one_line_with_the_nearest_name_and_exit_code_2(pneumo, given, line):
    ended = pneumo(given, "--source", "x")
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", line)


@pytest.mark.parametrize("name", ["train", "build", "predict", "export"])
def test_usage_says_how_it_was_called(pneumo, name):
    assert pneumo(name, "--help").stdout.startswith(f"usage: pneumo {name} ")


def test_errors_of_a_command_say_how_it_was_called(pneumo):
    ended = pneumo("evaluate", "nowhere", "--split", "test", "--source", "x")
    assert ended.returncode == 2
    assert ended.stderr.startswith("pneumo evaluate: --split test is of the run's own dataset")


def test_processes_that_a_command_starts_find_its_functions_and_packages(pneumo, tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "staged.py").write_text(STAGES)
    (tmp_path / "pipeline.py").write_text("")  # in the current folder
    start = "import pneumo_tfds.console_script as script; script.COMMANDS['staged'] = 'staged:Command'; script.main()"
    ended = pneumo("staged", path=[tmp_path / "modules"], program=f"import sys; sys.path.remove(''); {start}")
    assert (ended.returncode, ended.stdout) == (0, "42\n"), ended.stderr


def test_a_file_that_hides_a_package_is_named(pneumo, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "pipeline.py").write_text("import nothing_of_the_kind")
    assert pneumo("train", "--help").returncode == 0
    ended = pneumo("train", "--help", path=[tmp_path / "own"])
    hidden = f"{tmp_path / 'own' / 'pipeline.py'} hides the pipeline of pneumo, {ROOT / 'pipeline'}"
    remedy = "rename it, or take its folder out of PYTHONPATH or leave it"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"pneumo: {hidden}; {remedy}\n")


def test_a_distribution_that_owns_the_same_name_is_named(pneumo, tmp_path):
    other = tmp_path / "site" / "export" / "__init__.py"
    metadata = tmp_path / "site" / "excellent_exports-1.0.dist-info"
    for folder in (other.parent, metadata):
        folder.mkdir(parents=True)
    other.write_text("")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: excellent-exports\nVersion: 1.0\n")
    (metadata / "top_level.txt").write_text("export\n")
    ended = pneumo("predict", "model.onnx", path=[tmp_path / "site"])
    hidden = f"{other}, of excellent-exports, hides the export of pneumo, {ROOT / 'export'}"
    remedy = "install pneumo in a virtual environment of its own"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"pneumo: {hidden}; {remedy}\n")


def test_the_form_with_python_m_says_it_where_the_hidden_package_is_needed(tmp_path):
    (tmp_path / "pipeline.py").write_text("")
    (tmp_path / "run").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "export.check", "run"]
    ended = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"python -m export.check: {tmp_path / 'pipeline.py'} hides the pipeline of pneumo")
    assert ended.stderr.count("\n") == 1


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_flags_and_choices(pneumo, tmp_path):
    made = pneumo("completion", "bash")
    assert made.returncode == 0, made.stderr
    asked = 'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tyro_pneumo; echo "${COMPREPLY[@]}"; }\n'
    asked += "".join(f"ask pneumo {words}\n" for words in ("tr", "train --fra", "train --framing ''", "build --data"))
    script = tmp_path / "completion.bash"
    script.write_text(made.stdout + asked)
    answers = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=True).stdout.splitlines()
    assert answers == ["train", "--framing", "squeeze crop pad", "--data-dir"]


def test_tune_is_another_word_for_tuning(pneumo):
    ended = pneumo("tune", "--help")
    assert ended.returncode == 0
    assert ended.stdout == pneumo("tuning", "--help").stdout


@pytest.mark.parametrize(("called", "says"), [("pneumo train", "pneumo predict"), ("", "python -m export.predict")])
def test_other_commands_are_named_as_this_one_was_called(monkeypatch, called, says):
    monkeypatch.setattr("pneumo_tfds.program.command.called_as", called)
    assert call_of("predict", "export.predict") == says
