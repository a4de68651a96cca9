"""Two processes given one folder: one works, the other waits or is refused with one line; never a mixture."""

import subprocess
import sys
from pathlib import Path

import pytest

from bad_inputs_files import xray
from pneumo_tfds import prepared
from pneumo_tfds.prepared import BuildOptions, build
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.opening import open_source

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.locks import exclusive, filled

kind, folder = sys.argv[1:]
with {"run": RunFolder(Path(folder)).locked, "export": lambda: RunFolder(Path(folder)).locked("export"),
      "dataset": lambda: exclusive(folder), "new": lambda: filled(folder)}[kind]():
    print("held", flush=True)
    sys.stdin.readline()
    print("let go", flush=True)
"""
WAIT = """
import sys
from pneumo_tfds.program.locks import exclusive
sys.stderr = sys.stdout
with exclusive(sys.argv[1]):
    print("held", flush=True)
"""


@pytest.fixture
def other():
    """Start another process that runs a program, and read its first line."""
    started = []

    def start(program, *arguments):
        words = [sys.executable, "-c", program, *map(str, arguments)]
        process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def contents():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


SETTLED = ("run", "data")
REFUSED = {
    "train": ("run", "out", "pipeline.train --run-dir out --model compact", ()),
    "resume": ("run", "run", "pipeline.train --run-dir run --resume", SETTLED),
    "tune": ("run", "out/tuner", "tuning --run-dir out --model compact", ()),
    "ladder": (
        "run",
        "out/base/seed0",
        "pipeline.ladder --rows base --source xrays --data-dir d --out out",
        ("xrays",),
    ),
    "evaluate": ("run", "run", "pipeline.evaluate run", SETTLED),
    "export": ("export", "run", "export run", SETTLED),
    "phantoms": ("new", "out", "pneumo_tfds phantoms --out out --count 60", ()),
}
HEAVY = {"tune", "ladder", "resume", "evaluate", "export"}


@pytest.mark.parametrize(
    ("kind", "folder", "line", "needs"),
    [pytest.param(*given, id=name, marks=[pytest.mark.slow] * (name in HEAVY)) for name, given in REFUSED.items()],
)
def test_second_process_in_one_folder_is_refused_with_one_line(kind, folder, line, needs, place, refused, other):
    place.take(*needs)
    process, said = other(HOLD, kind, Path(folder).absolute())
    assert said == "held"
    before = contents()
    assert f"{folder} is in use by another process; wait, or " in refused(line)
    assert {path: content for path, content in contents().items() if path.parts[0] != "d"} == before
    assert process.communicate("\n")[0] == "let go\n"
    assert process.returncode == 0


def test_run_that_ended_between_the_look_and_the_lock_is_not_written_over(tmp_path, monkeypatch):
    from pipeline import train
    from pipeline.run_folder.folder import RunFolder

    taken = RunFolder.locked

    def late(folder, what=""):
        folder.path.mkdir(parents=True)
        (folder.path / "config.json").write_text("of another process")
        return taken(folder, what)

    monkeypatch.setattr(RunFolder, "locked", late)
    with pytest.raises(InputError, match="already holds a run"):
        train.train(train.Train(run_dir=tmp_path / "run"))
    assert (tmp_path / "run" / "config.json").read_text() == "of another process"


def test_second_build_waits_for_the_first(tmp_path, other):
    folder = tmp_path / "pneumo_tfds" / "gray_32" / "1.1.0"
    first, said = other(HOLD, "dataset", folder)
    assert said == "held"
    second, said = other(WAIT, folder)
    assert said == f"{folder}: waiting for another process that builds it"
    assert second.poll() is None
    assert first.communicate("\n")[0] == "let go\n"
    assert second.communicate()[0] == "held\n"
    assert second.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
def test_build_that_waited_for_another_source_says_so(tmp_path, monkeypatch, overwrite):
    sources = []
    for seed, name in enumerate(("one", "two")):
        for number in range(24):
            label = ("NORMAL/IM-{:04d}.jpeg", "PNEUMONIA/person{}_virus_1.jpeg")[number % 2].format(number)
            path = tmp_path / name / label
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(xray(100 * seed + number))
        sources.append(open_source(tmp_path / name))
    real = prepared._run_builder

    def after_the_other(*arguments):
        monkeypatch.setattr(prepared, "_run_builder", real)
        build(sources[0], "gray_32", tmp_path / "d")  # holds the lock while the second waits for it
        real(*arguments)

    monkeypatch.setattr(prepared, "_run_builder", after_the_other)
    with pytest.raises(InputError, match=f"holds gray_32 built from {tmp_path / 'one'}; pass --overwrite or another"):
        build(sources[1], "gray_32", tmp_path / "d", options=BuildOptions(overwrite=overwrite))
    assert build(sources[0], "gray_32", tmp_path / "d").seconds == 0
    assert build(sources[1], "gray_32", tmp_path / "d", options=BuildOptions(overwrite=True)).seconds > 0


def test_two_that_fill_one_new_folder_leave_what_one_of_them_wrote(tmp_path, other):
    from pneumo_tfds.program.locks import filled

    with filled(tmp_path / "new"):
        (tmp_path / "new" / "file").write_text("first")
        _, said = other(HOLD, "new", tmp_path / "new")
        assert said == "", "the second was let in"
    _, said = other(HOLD, "new", tmp_path / "new")
    assert said == "", "a full folder was filled again"
    assert [path.read_text() for path in (tmp_path / "new").iterdir()] == ["first"]


def test_folder_whose_filling_fails_is_empty_and_may_be_filled_again(tmp_path):
    from pneumo_tfds.program.locks import filled

    def fail():
        with filled(tmp_path / "new"):
            (tmp_path / "new" / "deep").mkdir()
            (tmp_path / "new" / "deep" / "file").write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"cannot write .*new: No space left on device; make room or choose another"):
        fail()
    assert list((tmp_path / "new").iterdir()) == []
    with filled(tmp_path / "new"):
        (tmp_path / "new" / "file").write_text("whole")
