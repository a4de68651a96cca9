"""`python -m export` as a user meets it."""

import shutil

import pytest

from export.__main__ import Export, export
from pneumo_tfds.program.errors import InputError


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
