"""`python -m export` as a user meets it."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from export.__main__ import Export, export
from pneumo_tfds.errors import InputError

ROOT = Path(__file__).parents[2]


def test_export_prints_a_line_for_each_file(exported, tmp_path, sample_images, capsys):
    run = shutil.copytree(exported, tmp_path / "run")
    export(Export(run_folder=run, int8=True, threads=1))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{run / 'model.onnx'}: 0.01 MB, max |Δp| ")
    assert lines[1].startswith(f"{run / 'model.int8.onnx'}: ")


@pytest.mark.parametrize("flag", ["parity_images", "threads"])
def test_negative_numbers_are_refused(flag, tmp_path):
    with pytest.raises(InputError, match=f"--{flag.replace('_', '-')} is -1; it must be 0 or more"):
        Export(run_folder=tmp_path, **{flag: -1})


@pytest.mark.parametrize(("make", "reason"), [(False, "is not a folder"), (True, "does not exist")])
def test_a_folder_that_is_no_finished_run(tmp_path, make, reason):
    run = tmp_path / "run"
    if make:
        run.mkdir()
    with pytest.raises(InputError, match=reason):
        export(Export(run_folder=run))


@pytest.mark.parametrize("module", ["export", "export.predict", "export.web", "export.serve"])
def test_help_is_there_and_quick(module):
    code = f"import runpy, sys, time; sys.argv = [{module!r}, '--help']\ntry: runpy.run_module({module!r}, run_name='__main__')\n"
    code += "finally: print('seconds', time.process_time())"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
    assert float(done.stdout.split()[-1]) < 1.0
    assert time.perf_counter() - start < 10
