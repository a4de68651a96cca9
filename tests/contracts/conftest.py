"""Commands run in this process as `python -m` would run them, in a folder with good things that may be spoiled."""

from __future__ import annotations

import runpy
import shlex
import sys
import warnings
from types import SimpleNamespace

import pytest

import bad_inputs_files


@pytest.fixture(scope="session")
def stock(tmp_path_factory):
    """Good things, each made once; read only: `Place.take` copies them."""
    return bad_inputs_files.Stock(tmp_path_factory.mktemp("stock"))


@pytest.fixture
def place(stock, tmp_path, monkeypatch):
    """A folder of one test, the process's working folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("TFDS_DATA_DIR", str(work / "tfds"))
    made = bad_inputs_files.Place(work, stock, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def run(monkeypatch, capfd):
    """Run what is typed after `python -m`; give its exit code, standard output and standard error."""

    def run(line):
        module, *arguments = shlex.split(line)
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        capfd.readouterr()
        code = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that the module was imported before
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as left:
                code = left.code or 0
        return SimpleNamespace(code=code, **dict(zip(("out", "err"), capfd.readouterr(), strict=True)))

    return run


@pytest.fixture
def refused(run):
    """Run a command that must leave with exit code 2 and one line; give the line."""

    def refused(line):
        ended = run(line)
        assert ended.code == 2, ended.out + ended.err
        assert ended.err.count("\n") == 1, ended.err
        assert "Traceback" not in ended.out + ended.err
        return ended.err

    return refused
