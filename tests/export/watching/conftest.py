"""A model that answers by brightness, and the watcher as a command in this process or in one of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from brightness_model import write_model

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def bright(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("bright") / "model.onnx", heatmap=True)


@pytest.fixture
def watch(bright, tmp_path, capfd):
    """Run the watcher once over a place; give exit code and what it said."""
    from export.watch import Watch
    from export.watch import watch as follow
    from pneumo_tfds.program.errors import InputError

    def watch(source, out=None, model=bright, **flags):
        known = {"journal": tmp_path / "journal", "every": 0.01, "once": True, "threads": 1} | flags
        capfd.readouterr()
        try:
            code = follow(Watch(model=model, source=str(source), out=None if out is None else str(out), **known))
        except InputError as error:
            return 2, str(error)
        said = capfd.readouterr()
        return code, said.out + said.err

    return watch


@pytest.fixture
def begin(bright, tmp_path):
    """Start the watcher in a process of its own, whose lines go to `tmp_path/log`; what still runs is killed."""
    started = []

    def begin(source, *flags, out=None):
        line = [sys.executable, "-m", "export.watch", str(bright), "--source", str(source), "--every", "0.1"]
        line += [
            "--journal",
            str(tmp_path / "journal"),
            "--threads",
            "1",
            *flags,
            *(["--out", str(out)] if out else []),
        ]
        with (tmp_path / "log").open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            started.append(subprocess.Popen(line, cwd=tmp_path, env=environment, stdout=log, stderr=log))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
