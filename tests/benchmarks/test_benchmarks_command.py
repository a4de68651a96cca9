import importlib.util
import json
import subprocess
import sys
import types

import pytest

from benchmarks import __main__ as command
from benchmarks import benchmark_options as flags
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.measuring import tensorflow_threads
from benchmarks.measuring.harness import Case, Record
from pneumo_tfds.program.cores_and_memory import available_cores
from pneumo_tfds.program.errors import InputError

CASE = Case("input", "made up", 8, 4, 1)
RECORDS = [
    Record(CASE, "ours: a", (2.0, 3.0)),
    Record(CASE, "peer: b", (1.0, 1.0)),
    Record(CASE, "peer: c", (), "gone"),
]


@pytest.fixture
def stage(monkeypatch):
    for name in tensorflow_threads.VARIABLES:
        monkeypatch.setenv(name, "")  # the command sets them
    module = types.ModuleType("benchmarks.made_up")
    module.measure_stage = lambda options: RECORDS
    module.__spec__ = types.SimpleNamespace(name="benchmarks.made_up")
    monkeypatch.setitem(sys.modules, "benchmarks.made_up", module)
    monkeypatch.setattr(flags, "MODULES", {"input": "benchmarks.made_up"})
    monkeypatch.setattr(command, "MODULES", {"input": "benchmarks.made_up"})


@pytest.mark.usefixtures("stage")
def test_json_markdown_and_chart_are_written(tmp_path):
    json_file, markdown, chart = tmp_path / "a.json", tmp_path / "a.md", tmp_path / "a.png"
    command.bench(BenchmarkOptions(stages=("input",), json=json_file, markdown=markdown, chart=chart))
    value = json.loads(json_file.read_text())
    assert [record["contender"] for record in value["records"]] == ["ours: a", "peer: b"]
    assert value["not_measured"][0]["reason"] == "gone"
    assert value["machine"]["cores"] > 0
    assert "ours: a" in markdown.read_text()
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_stages_run_in_their_order():
    assert BenchmarkOptions(stages=("train", "input")).chosen == ("input", "train")
    assert BenchmarkOptions().chosen == ("build", "input", "augment", "train", "inference", "serve")


def test_threads_are_as_asked_or_one_a_core():
    assert BenchmarkOptions(threads=3).workers == 3
    assert BenchmarkOptions().workers == available_cores()


COUNTED = """
import sys, types

import psutil

from benchmarks import __main__ as command
from benchmarks.benchmark_options import BenchmarkOptions

def measure_stage(options):
    import tensorflow as tf

    before = psutil.Process().num_threads()
    tf.add(1, 1)
    print("begun:", psutil.Process().num_threads() - before)
    return []

sys.modules["benchmarks.made_up"] = types.SimpleNamespace(measure_stage=measure_stage)
command.MODULES = {"train": "benchmarks.made_up"}
command.bench(BenchmarkOptions(stages=("train",), threads=int(sys.argv[1])))
"""


def test_tensorflow_begins_as_many_threads_as_asked_in_each_of_its_pools():
    done = subprocess.run([sys.executable, "-c", COUNTED, "50"], capture_output=True, text=True, check=True)
    begun = int(done.stdout.split("begun:")[1].split()[0])
    assert 2 * 50 <= begun < 3 * 50


def test_quick_is_shorter():
    quick, full = (BenchmarkOptions(quick=quick).pace(seconds=1.5, rounds=5) for quick in (True, False))
    assert quick.rounds < full.rounds == 5
    assert quick.seconds < full.seconds == 1.5


@pytest.mark.parametrize(("field", "value"), [("threads", -1), ("threads", 0), ("threads", 5000)])
def test_impossible_threads_are_refused(field, value):
    with pytest.raises(InputError, match="--threads"):
        BenchmarkOptions(**{field: value})


def test_chart_of_unknown_format_is_refused(tmp_path):
    with pytest.raises(InputError, match="--chart"):
        BenchmarkOptions(chart=tmp_path / "a.txt")


def test_help_of_every_stage_needs_neither_tensorflow_nor_opencv():
    code = "import sys; sys.modules['tensorflow'] = None; sys.modules['cv2'] = None; sys.argv = ['x', '--help']\n"
    code += "import runpy; runpy.run_module('benchmarks', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--quick" in done.stdout


def test_unknown_stage_is_one_line_and_exit_code_2():
    done = subprocess.run([sys.executable, "-m", "benchmarks", "coffee"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.usefixtures("stage")
def test_without_files_asked_for_only_tables_are_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command.bench(BenchmarkOptions(stages=("input",)))
    assert "ours: a" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_every_stage_has_a_module():
    assert all(importlib.util.find_spec(module) for module in flags.MODULES.values())


@pytest.mark.usefixtures("stage")
def test_a_stage_that_lacks_a_package_says_what_to_install(monkeypatch):
    def run(options):
        raise ModuleNotFoundError("No module named 'keras'", name="keras")

    monkeypatch.setattr(sys.modules["benchmarks.made_up"], "measure_stage", run)
    with pytest.raises(InputError, match=r"the stage input needs keras; install it .*pip install '.*\[train\]'"):
        command.bench(BenchmarkOptions(stages=("input",)))
