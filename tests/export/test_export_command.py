"""`python -m export` as a user meets it."""

import shutil

import pytest

from export.__main__ import Export, export
from pipeline.evaluation.evaluation_lock import write_lock
from pipeline.evaluation.scoring import Decision
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json


def test_export_prints_a_line_for_each_file(exported, tmp_path, sample_images, capsys):
    run = shutil.copytree(exported, tmp_path / "run")
    export(Export(run_folder=run, int8=True, threads=1))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{run / 'model.onnx'}: 0.01 MB; largest difference of a probability from Keras ")
    assert lines[1].startswith(f"{run / 'model.int8.onnx'}: ")


def test_a_folder_that_is_not_there_is_refused_before_tensorflow_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("export.__main__.quiet_tensorflow", lambda: pytest.fail("loads TensorFlow first"))
    with pytest.raises(InputError, match="nope is not a folder; give the folder of a finished run"):
        export(Export(run_folder=tmp_path / "nope"))


@pytest.mark.parametrize(
    ("flag", "value", "bounds"), [("parity_images", -1, "0 or more"), ("threads", 0, "from 1 to 1024")]
)
def test_numbers_out_of_bounds_are_refused(flag, value, bounds, tmp_path):
    with pytest.raises(InputError, match=f"--{flag.replace('_', '-')} is {value}; it must be {bounds}"):
        Export(run_folder=tmp_path, **{flag: value})


@pytest.mark.parametrize(("make", "reason"), [(False, "is not a folder"), (True, "does not exist")])
def test_a_folder_that_is_not_a_finished_run(tmp_path, make, reason):
    run = tmp_path / "run"
    if make:
        run.mkdir()
    with pytest.raises(InputError, match=reason):
        export(Export(run_folder=run))


@pytest.mark.slow
def test_threshold_that_changed_since_it_was_locked_is_said(exported, tmp_path, sample_images, capsys):
    run = RunFolder(shutil.copytree(exported, tmp_path / "run"))
    metrics = run.read_json(run.metrics) | {"temperature": 1.0, "calibration": {}}
    metrics["operating_point"] |= {"sensitivity": 0.9, "specificity": 0.9}
    write_json(run.metrics, metrics)
    write_lock(run, Decision.from_json(metrics, run.metrics))
    write_json(run.metrics, metrics)
    export(Export(run_folder=run.path, threads=1))
    assert "lock" not in capsys.readouterr().out
    metrics["operating_point"]["threshold"] += 0.01
    write_json(run.metrics, metrics)
    export(Export(run_folder=run.path, threads=1))
    assert "note: the evaluation lock of" in (said := capsys.readouterr().out)
    assert "not what was locked: the threshold changed since" in said
